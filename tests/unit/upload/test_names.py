"""Names that clients make up: nothing in them leaves the folder, breaks a header or hides what it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rookery.workers.upload.names import NAME_BYTES, clean, disposition, located, media_type, url

ID = "a" * 32


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("très cool.jpg", "très cool.jpg"),
        ("../../etc/passwd", ".._.._etc_passwd"),
        ("..\\x.txt", ".._x.txt"),
        ("..", "file"),
        (" ", "file"),
        ("a\r\nSet-Cookie: x", "a__Set-Cookie: x"),
        ("gpj.\u202eexe", "gpj._exe"),
        ("a\u0000b", "a_b"),
        ("写真.png", "写真.png"),
        ("e\u0301.png", "é.png"),
    ],
)
def test_names_become_harmless(said: str, kept: str) -> None:
    assert clean(said) == kept


def test_a_long_name_keeps_its_end() -> None:
    kept = clean("ü" * 300 + ".jpeg")
    assert kept.endswith("ü.jpeg")
    assert NAME_BYTES - 2 <= len(kept.encode()) <= NAME_BYTES


@given(st.text(max_size=400))
def test_every_name_survives_its_url_and_is_one_header(name: str) -> None:
    kept = clean(name)
    assert clean(kept) == kept
    assert 0 < len(kept.encode()) <= NAME_BYTES
    address = url("https://upload.example.org:5281/", ID, kept)
    assert address.isascii()
    assert located(address.removeprefix("https://upload.example.org:5281")) == (ID, kept)
    header = disposition(kept, inline=False)
    assert header.isascii()
    assert header.isprintable()
    assert header.count('"') == 2


@pytest.mark.parametrize(
    ("target", "found"),
    [
        (f"/{ID}/x", (ID, "x")),
        (f"/base/{ID}/x?y=/z", (ID, "x")),
        (f"/{ID}/..%2Fx", (ID, "../x")),  # no name that we gave, so no file has it
        (f"/{ID}", None),
        ("/../x", None),
        (f"/{'a' * 31}./x", None),
        (f"/{ID}/%ff", None),
        ("*", None),
    ],
)
def test_targets(target: str, found: tuple[str, str] | None) -> None:
    assert located(target) == found


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("image/JPEG", "image/jpeg"),
        ("text/plain; charset=x", "text/plain"),
        ("", "application/octet-stream"),
        ("text/html\r\nX: y", "application/octet-stream"),
        ("nonsense", "application/octet-stream"),
    ],
)
def test_media_types(said: str, kept: str) -> None:
    assert media_type(said) == kept
