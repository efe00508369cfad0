"""Signed URLs of S3-compatible stores (AWS signature version 4 in the query), by the signer of botocore."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials


class Signer:
    """Signs for one pair of keys and one region."""

    def __init__(self, access_key: str, secret_key: str, region: str) -> None:
        self._keys = Credentials(access_key, secret_key)
        self._region = region

    @classmethod
    def of_files(cls, access_key_file: str, secret_key_file: str, region: str) -> Signer:
        """A signer with the keys in the first lines of files. Raises OSError."""
        return cls(_first_line(access_key_file), _first_line(secret_key_file), region)

    def url(
        self, method: str, url: str, seconds: int, headers: Mapping[str, str], answers: Mapping[str, str]
    ) -> str:
        """A URL that allows one method for so many seconds from now, with these headers; `answers` are what the answer's headers say."""
        query = {f"response-{name}": value for name, value in answers.items()}
        request = AWSRequest(method=method, url=url, headers=dict(headers), params=query)
        S3SigV4QueryAuth(self._keys, "s3", self._region, expires=seconds).add_auth(request)
        signed: str = request.url
        return signed


def _first_line(path: str) -> str:
    try:
        line = Path(path).read_text("ascii").partition("\n")[0].strip()
    except UnicodeDecodeError:
        line = ""
    if not line:
        raise OSError(f"{path}: there is no key in it")
    return line
