"""The compiled message path does what its sources do: the same stories, resumptions and half a minute of faults, run on machine code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMPILED = {**os.environ, "ROOKERY_COMPILED": "1"}
STATE = "import rookery._compiled as compiled; print(compiled.state)"


def run(*words: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def compiled() -> None:
    """Machine code of exactly these sources."""
    if run("scripts/compile.py", "--possible").returncode:
        pytest.skip("no C compiler here: Rookery runs as plain Python")
    if run("-c", STATE, environment=COMPILED).stdout.strip() != "compiled":
        done = run("scripts/compile.py")
        assert done.returncode == 0, done.stdout[-3000:]
    assert run("-c", STATE, environment=COMPILED).stdout.strip() == "compiled"


@pytest.mark.timeout(900)  # a clean clone compiles first
@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize(
    "tests", ["tests/stories", "tests/cluster/test_resumption.py", "tests/cluster/chaos/test_chaos.py"]
)
def test_a_compiled_cluster_passes(tests: str) -> None:
    done = run("-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", tests, environment=COMPILED)
    assert done.returncode == 0, done.stdout[-6000:]
    assert " passed" in done.stdout
