"""Tables of Lua are read as data: nothing is run, and what is no constant is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rookery.moving import lua
from rookery.moving.records import MovingError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"return nil;\n", None),
        (b'return "a\\195\\188\\n\\"";', 'aü\n"'),
        (b"return { 1, 2.5; -3, [false] = 0x10, a = true; };", {1: 1, 2: 2.5, 3: -3, False: 16, "a": True}),
        (b'-- a comment\nreturn {\n\t["x y"] = {};\n};', {"x y": {}}),
        (b"return 'it\\'s \\x41\\u{42}\\z  C';", "it's ABC"),
    ],
)
def test_constants(text: bytes, value: object) -> None:
    assert lua.read(text) == value


def test_bytes_that_are_no_text_come_back_as_they_were() -> None:
    said = lua.read(b'return "\\255\\000\\128";')
    assert isinstance(said, str)
    assert said.encode("utf-8", "surrogateescape") == b"\xff\x00\x80"


@pytest.mark.parametrize(
    "text",
    [
        b"", b"x", b"return", b"return {", b'return os.execute("x")', b"return {f()}", b'return "a" .. "b"', b"return 1 + 1",
        b"return function() end", b"return {} os.exit()", b"return [[x]]", b'return "\\999"', b'return "\\q"', b"return {a = b}",
        b"return " + b"{" * 101 + b"}" * 101, b'return "a', b"return {[{}] = 1}", b"return {1 2}",
    ],
)  # fmt: skip
def test_what_is_no_constant_is_refused(text: bytes) -> None:
    with pytest.raises(MovingError):
        lua.read(text)


def test_lists() -> None:
    assert list(lua.read_list(b'item({ "a" });\nitem(2);\n')) == [{1: "a"}, 2]
    assert list(lua.read_list(b"")) == []
    with pytest.raises(MovingError):
        list(lua.read_list(b"os.exit({})"))


@given(st.binary(max_size=200))
def test_no_bytes_do_anything_but_be_read_or_refused(data: bytes) -> None:
    for read in (lua.read, lambda text: list(lua.read_list(text))):
        try:
            read(b"return " + data)
        except MovingError:
            continue
