"""Opens the files of an export, and none beside its folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from rookery.moving.records import MovingError
from rookery.moving.xml import Open

_BLOCK: Final = 1 << 18


def opener(folder: Path) -> Open:
    """Opens files of a folder by relative names; what leads out of it is refused."""
    root = folder.resolve()

    def open_(name: str) -> Iterator[bytes]:
        path = (root / name).resolve()
        if not path.is_file():
            path = (root / unquote(name)).resolve()
        if ":" in name.partition("/")[0] or not path.is_relative_to(root) or not path.is_file():
            raise MovingError(f"{name!r} is no file in {root}")
        with open(path, "rb") as file:
            while block := file.read(_BLOCK):
                yield block

    return open_
