"""Prosody's data files: tables of Lua, read as data. Nothing is run: whatever is not a constant is refused.

A `.dat` file is `return VALUE;`, a `.list` file a row of `item(VALUE);`. A value is a string, a number, true, false, nil, or a table of values.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from rookery.moving.records import MovingError

#: Tables within each other, and bytes of one file.
DEPTH: Final = 100
SIZE: Final = 1024 * 1024 * 1024
Value = str | int | float | bool | dict["Value", "Value"] | None
Table = dict[Value, Value]

_TOKEN: Final = re.compile(
    rb"""[ \t\r\n\f\v]*(?:--[^\n\[][^\n]*\n[ \t\r\n\f\v]*)*(?:
    (?P<string>"(?:[^"\\\n]|\\(?s:.))*"|'(?:[^'\\\n]|\\(?s:.))*')
    |(?P<number>-?(?:0[xX][0-9a-fA-F]+|[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?))
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<mark>[{}\[\]=;,()])
    )""",
    re.VERBOSE,
)
_ESCAPE: Final = re.compile(
    rb"\\(?:([0-9]{1,3})|x([0-9a-fA-F]{2})|u\{([0-9a-fA-F]{1,6})\}|z\s*|(\r\n|(?s:.)))"
)
_LETTERS: Final = {
    b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v", b"\n": b"\n",
    b"\\": b"\\", b'"': b'"', b"'": b"'",
}  # fmt: skip
_CONSTANTS: Final[dict[bytes, Value]] = {b"true": True, b"false": False, b"nil": None}


def _unescaped(match: re.Match[bytes]) -> bytes:
    decimal, hexadecimal, point, letter = match.groups()
    if decimal:
        if int(decimal) > 255:
            raise MovingError("a string has an escape beyond 255")
        return bytes([int(decimal)])
    if hexadecimal:
        return bytes([int(hexadecimal, 16)])
    if point:
        return chr(int(point, 16)).encode("utf-8", "replace") if int(point, 16) < 0x110000 else b"?"
    if letter is None:
        return b""
    if letter not in _LETTERS:
        raise MovingError("a string has an unknown escape")
    return _LETTERS[letter]


class _Reader:
    """Goes through the tokens of one file. Text is UTF-8; bytes that are none stay readable as surrogates (keys of salts)."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self.kind = ""
        self.token = b""
        self.next()

    def next(self) -> None:
        match = _TOKEN.match(self._data, self._at)
        if match is None:
            if self._data[self._at :].strip():
                raise self.wrong()
            self.kind, self.token = "", b""
            return
        self._at = match.end()
        self.kind = match.lastgroup or ""
        self.token = match.group(self.kind)

    def wrong(self) -> MovingError:
        line = self._data.count(b"\n", 0, self._at) + 1
        return MovingError(f"line {line}: this is no table of constants")

    def take(self, token: bytes) -> bool:
        if self.token != token or self.kind == "string":
            return False
        self.next()
        return True

    def need(self, token: bytes) -> None:
        if not self.take(token):
            raise self.wrong()

    def value(self, depth: int = 0) -> Value:
        kind, token = self.kind, self.token
        if kind == "mark" and token == b"{":
            if depth >= DEPTH:
                raise MovingError(f"tables are nested more than {DEPTH} deep")
            return self._table(depth)
        found: Value
        if kind == "string":
            raw = token[1:-1]
            raw = _ESCAPE.sub(_unescaped, raw) if b"\\" in raw else raw
            found = raw.decode("utf-8", "surrogateescape")
        elif kind == "number":
            found = _number(token)
        elif kind == "name" and token in _CONSTANTS:
            found = _CONSTANTS[token]
        else:
            raise self.wrong()
        self.next()
        return found

    def _table(self, depth: int) -> Table:
        self.need(b"{")
        out: Table = {}
        index = 1
        while not self.take(b"}"):
            key: Value
            if self.take(b"["):
                key = self.value(DEPTH)
                self.need(b"]")
                self.need(b"=")
                out[key] = self.value(depth + 1)
            elif self.kind == "name" and self.token not in _CONSTANTS:
                key = self.token.decode()
                self.next()
                self.need(b"=")
                out[key] = self.value(depth + 1)
            else:
                out[index] = self.value(depth + 1)
                index += 1
            if not (self.take(b";") or self.take(b",")) and self.token != b"}":
                raise self.wrong()
        return out


def _number(token: bytes) -> int | float:
    text = token.decode()
    if "x" in text.lower():
        return int(text, 16)
    return float(text) if any(char in text for char in ".eE") else int(text)


def read(data: bytes) -> Value:
    """The value of a `.dat` file. Raises MovingError."""
    reader = _open(data)
    reader.need(b"return")
    value = reader.value()
    reader.take(b";")
    if reader.kind:
        raise reader.wrong()
    return value


def read_list(data: bytes) -> Iterator[Value]:
    """The values of a `.list` file, one after another. Raises MovingError."""
    reader = _open(data)
    while reader.kind:
        reader.need(b"item")
        reader.need(b"(")
        yield reader.value()
        reader.need(b")")
        while reader.take(b";"):
            pass


def _open(data: bytes) -> _Reader:
    if len(data) > SIZE:
        raise MovingError(f"the file has more than {SIZE} bytes")
    return _Reader(data)
