"""Runs the message path as machine code where `scripts/compile.py` has made some of exactly these sources.

The compiled modules lie in `build/compiled/<interpreter>/` of a checkout, or inside the package where a wheel brings them, never next to
their sources, with a manifest of the hash of every source that the compiler has read. They are used together or not at all: when one source differs, Python runs the sources.
`ROOKERY_COMPILED=0` turns them off, 1 is as if it were not set, anything else is the directory of such modules elsewhere.
"""

from __future__ import annotations

import json
import os
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from importlib.abc import MetaPathFinder
from importlib.machinery import ExtensionFileLoader, ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Final

#: Folders of the package whose sources the compiled modules come from or are typed by.
FOLDERS: Final = ("edge", "router", "shared", "workers/muc")
VARIABLE: Final = "ROOKERY_COMPILED"
#: The folder of the package that has compiled modules in a wheel for one platform (`scripts/wheel.py`).
INSIDE: Final = "_machine"
_PACKAGE: Final = Path(__file__).parent

#: "compiled", "source" (nothing was compiled, or it is turned off), or "stale": what was compiled is of other sources.
state = "source"


def suffix() -> str:
    """The name of this kind of interpreter and platform, as extension modules end in it."""
    return str(sysconfig.get_config_var("EXT_SUFFIX")).strip(".").partition(".")[0]


def interpreter() -> str:
    """What compiled modules must have been made for: an extension module fits every patch level of one minor version."""
    return f"{sys.implementation.name} {sys.version_info[0]}.{sys.version_info[1]} {sys.version_info.releaselevel}"


def directory() -> Path:
    """Where this interpreter's modules are: inside the package, else beside a checkout's sources."""
    inside = _PACKAGE / INSIDE / suffix()
    return inside if inside.is_dir() else _PACKAGE.resolve().parents[1] / "build" / "compiled" / suffix()


def sources() -> Iterator[tuple[str, Path]]:
    """Every source that counts: its name in the package, and where it is."""
    for folder in FOLDERS:
        root = (_PACKAGE / folder).resolve()
        for path in sorted(root.rglob("*.py")):
            yield f"{folder}/{path.relative_to(root).as_posix()}", path


def fingerprint() -> dict[str, str]:
    """The hash of every source."""
    return {name: sha256(path.read_bytes()).hexdigest() for name, path in sources()}


class Finder(MetaPathFinder):
    """Finds the modules of a manifest."""

    def __init__(self, modules: Mapping[str, str], base: Path) -> None:
        self._modules = modules
        self._base = base

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The compiled module of that name, if there is one."""
        file = self._modules.get(fullname)
        if file is None:
            return None
        location = str(self._base / file)
        return spec_from_file_location(fullname, location, loader=ExtensionFileLoader(fullname, location))


def install() -> None:
    """Let imports find the compiled modules, when they are of these sources."""
    global state
    wanted = os.environ.get(VARIABLE, "")
    if wanted == "0":
        return
    base = directory() if wanted in ("", "1") else Path(wanted)
    try:
        manifest = json.loads((base / "manifest.json").read_text())
    except (OSError, ValueError):
        return
    if manifest["python"] != interpreter() or manifest["sources"] != fingerprint():
        state = "stale"
        return
    sys.meta_path.insert(0, Finder(manifest["modules"], base))
    state = "compiled"
