"""XEP-0363: what the file says of it; the worker's own tests are in tests/unit/upload and tests/contracts/test_upload.py."""

from __future__ import annotations

import msgspec
import pytest

from rookery.shared.bus.kinds import KINDS, Kind
from rookery.shared.config import Config
from rookery.shared.xeps import upload
from rookery.shared.xeps._xep import Target
from rookery.shared.xeps.registry import FEATURES


def test_only_the_service_itself_announces_it() -> None:
    assert not any(upload.NS in FEATURES.get(target, ()) for target in Target)
    assert KINDS[Kind.UPLOAD].serves == "upload"


BUCKET = {
    "s3_bucket": "files",
    "s3_endpoint": "https://s3.example.org",
    "s3_access_key_file": "/a",
    "s3_secret_key_file": "/s",
}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"directory": "/files"}, "not in both"),
        ({"s3_bucket": "../x"}, "s3_bucket"),
        ({"s3_prefix": "a?b"}, "s3_prefix"),
        ({"s3_access_key_file": ""}, "s3_access_key_file is missing"),
        ({"s3_secret_key_file": ""}, "s3_secret_key_file is missing"),
        ({"s3_endpoint": ""}, "s3_endpoint"),
        ({"s3_endpoint": "s3.example.org"}, "s3_endpoint"),
        ({"s3_endpoint": "https://s3.example.org/files"}, "no path"),
        ({"s3_public_endpoint": "ftp://s3.example.org"}, "s3_public_endpoint"),
        ({"s3_endpoint": "http://minio:9000", "s3_direct": True}, "https only"),
    ],
)
def test_a_bucket_has_all_that_it_needs(changes: dict[str, object], said: str) -> None:
    assert msgspec.convert(BUCKET, upload.Options).stores
    with pytest.raises(msgspec.ValidationError, match=said):
        msgspec.convert({**BUCKET, **changes}, upload.Options)


def test_the_store_may_have_another_name_for_clients() -> None:
    inside = {
        "s3_endpoint": "http://minio:9000",
        "s3_direct": True,
        "s3_public_endpoint": "https://s3.one.org:9000",
    }
    assert msgspec.convert({**BUCKET, **inside}, upload.Options).s3_direct
    assert msgspec.convert({**BUCKET, "s3_endpoint": "http://[::1]:9000"}, upload.Options).stores


def test_nothing_is_taken_without_a_folder() -> None:
    options = Config().options(upload.Options)
    assert options.directory == ""
    assert not options.stores
    assert not options.plaintext
    assert options.profile_bytes <= options.file_bytes <= options.day_bytes
