"""Machine code of exactly these sources: it takes minutes to make, so it is made once, by whichever test needs it first."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
COMPILED: Final = {**os.environ, "ROOKERY_COMPILED": "1"}
_STATE: Final = "import rookery._compiled as compiled; print(compiled.state)"


def run(*words: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run Python in the project's folder."""
    return subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def machine_code() -> bool:
    """Make it where it is not there; False without a C compiler."""
    if run("scripts/compile.py", "--possible").returncode:
        return False
    build = ROOT / "build"
    build.mkdir(exist_ok=True)
    with (build / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another worker of pytest may be at it
        if run("-c", _STATE, environment=COMPILED).stdout.strip() != "compiled":
            done = run("scripts/compile.py")
            assert done.returncode == 0, done.stdout[-3000:]
        assert run("-c", _STATE, environment=COMPILED).stdout.strip() == "compiled"
    return True
