"""When the collector looks at everything, and that what lives is looked at once."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from rookery.shared import collector
from rookery.shared.collector import LONGEST, OFTEN, Due


def test_a_calm_process_is_looked_at_often_and_a_busy_one_seldom() -> None:
    due = Due(100.0)
    assert not due.full(100.0 + OFTEN - 1, 0.0)
    assert not due.full(100.0 + OFTEN, 0.5)
    assert due.full(101.0 + OFTEN, 0.0)
    assert not due.full(102.0 + OFTEN, 0.0)
    assert not due.full(100.0 + OFTEN + LONGEST, 0.9)
    assert due.full(101.0 + OFTEN + LONGEST, 0.9)


@pytest.fixture
def as_before() -> Iterator[None]:
    """The collector of the tests is not left changed."""
    threshold = gc.get_threshold()
    yield
    gc.callbacks.remove(collector._looked)
    gc.set_threshold(*threshold)
    gc.unfreeze()


@pytest.mark.usefixtures("as_before")
def test_what_outlives_a_young_generation_is_set_aside() -> None:
    collector.set_up()
    collector.set_up()  # once is enough
    assert gc.callbacks.count(collector._looked) == 1
    kept = [[n] for n in range(10 * collector.YOUNG)]
    assert sum(gc.get_count()) <= 2 * collector.YOUNG
    assert not gc.is_tracked(1)
    assert len(gc.get_objects()) < len(kept)
