"""Where an object is, and who is told its URL."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from rookery.shared.xeps.upload import Options
from rookery.workers.upload.bucket import Bucket, located
from rookery.workers.upload.place import AwayError, Terms
from rookery.workers.upload.signing import Signer


def options(**changes: object) -> Options:
    settings = {
        "s3_bucket": "files",
        "s3_endpoint": "https://s3.example.org:9000/",
        "s3_access_key_file": "/a",
        "s3_secret_key_file": "/s",
    }
    return Options(**{**settings, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "url"),
    [
        ({}, "https://s3.example.org:9000/files/abc"),
        ({"s3_prefix": "one/"}, "https://s3.example.org:9000/files/one/abc"),
        ({"s3_path_style": False}, "https://files.s3.example.org:9000/abc"),
    ],
)
def test_an_object_has_one_url(changes: dict[str, object], url: str) -> None:
    it = options(**changes)
    assert located(it, it.s3_endpoint, "abc") == url


def test_clients_get_urls_only_where_they_reach_the_store() -> None:
    assert Bucket(options()).url("GET", "abc", Terms(60)) == ""
    with pytest.raises(AwayError):
        Bucket(options(s3_direct=True)).url("GET", "abc", Terms(60))


def test_a_signature_says_for_how_long_and_for_which_headers() -> None:
    signer = Signer("KEY", "secret", "eu-test-1")
    answers = {"content-type": "text/plain; charset=utf-8"}
    url = signer.url("PUT", "https://s3.example.org/files/abc", 600, {"content-length": "5"}, answers)
    query = parse_qs(urlsplit(url).query)
    assert query["X-Amz-Expires"] == ["600"]
    assert query["X-Amz-SignedHeaders"] == ["content-length;host"]
    assert query["response-content-type"] == ["text/plain; charset=utf-8"]
    assert "/eu-test-1/s3/aws4_request" in query["X-Amz-Credential"][0]
    assert "secret" not in url
