"""The compiled message path does what its sources do: the same stories, resumptions and half a minute of faults, run on machine code."""

from __future__ import annotations

import pytest
from tests.cluster.compiling import COMPILED, machine_code, run


@pytest.fixture(scope="module")
def compiled() -> None:
    if not machine_code():
        pytest.skip("no C compiler here: Rookery runs as plain Python")


@pytest.mark.timeout(1200)  # a clean clone compiles first
@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize(
    "tests", ["tests/stories", "tests/cluster/test_resumption.py", "tests/cluster/chaos/test_chaos.py"]
)
def test_a_compiled_cluster_passes(tests: str) -> None:
    done = run("-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", tests, environment=COMPILED)
    assert done.returncode == 0, done.stdout[-6000:]
    assert " passed" in done.stdout
