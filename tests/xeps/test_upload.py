"""XEP-0363: what the file says of it; the worker's own tests are in tests/unit/upload and tests/contracts/test_upload.py."""

from __future__ import annotations

from rookery.shared.bus.kinds import KINDS, Kind
from rookery.shared.config import Config
from rookery.shared.xeps import upload
from rookery.shared.xeps._xep import Target
from rookery.shared.xeps.registry import FEATURES


def test_only_the_service_itself_announces_it() -> None:
    assert not any(upload.NS in FEATURES.get(target, ()) for target in Target)
    assert KINDS[Kind.UPLOAD].serves == "upload"


def test_nothing_is_taken_without_a_folder() -> None:
    options = Config().options(upload.Options)
    assert options.directory == ""
    assert not options.plaintext
    assert options.profile_bytes <= options.file_bytes <= options.day_bytes
