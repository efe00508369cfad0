"""Builds a wheel for this platform that carries the compiled message path: `python scripts/wheel.py [DIRECTORY]`, `dist` unless said.

`pip wheel .` makes the plain one, for every platform. Both have the same sources; the one for this platform has the machine code of
`scripts/compile.py` inside the package, and `src/rookery/_compiled.py` finds it there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
#: A wheel without extension modules of its own would claim to fit every platform.
_SETUP = """\
from setuptools import Distribution, setup


class Platform(Distribution):
    def has_ext_modules(self) -> bool:
        return True


setup(distclass=Platform)
"""


def build(target: Path) -> Path:
    """Build into `target`; returns the wheel's path. Raises CalledProcessError when a step fails."""
    sys.path.insert(0, str(ROOT))
    os.environ["ROOKERY_COMPILED"] = "0"
    from scripts.compile import compile_all

    from rookery import _compiled

    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, work)
        # Links are followed: the package gets real folders.
        shutil.copytree(
            ROOT / "src", work / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
        )
        compile_all(work / "src/rookery" / _compiled.INSIDE / _compiled.suffix())
        (work / "setup.py").write_text(_SETUP, "utf-8")
        text = (work / "pyproject.toml").read_text("utf-8")
        (work / "pyproject.toml").write_text(
            text.replace('rookery = ["py.typed"]', f'rookery = ["py.typed", "{_compiled.INSIDE}/**"]'),
            "utf-8",
        )
        wheels = work / "wheels"
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
        subprocess.run([*command, "--wheel-dir", wheels, work], check=True)
        (built,) = wheels.glob("*.whl")
        target.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copy(built, target))


if __name__ == "__main__":
    print(build(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "dist")))  # noqa: T201  a script
