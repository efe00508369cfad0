"""A short run of each fuzzer, on a fixed seed: the long one is `python -m tests.fuzz.streams --count 1000000`."""

from __future__ import annotations

import pytest
from tests.fuzz import s2s
from tests.fuzz.streams import run


@pytest.mark.slow
def test_streams() -> None:
    tally = run(3000, seed=20261121)
    assert tally.inputs == 3000
    # The inputs are neither all good nor all bad, or the run shows nothing.
    assert min(tally.stanzas, tally.elements, tally.errors) > 300
    assert tally.closed > 30


@pytest.mark.slow
def test_streams_between_servers() -> None:
    tally = s2s.run(3000, seed=20261129)
    assert tally.inputs == 3000
    assert min(tally.ended, tally.proved, tally.stanzas) > 100
