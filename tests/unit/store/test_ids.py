"""Archive ids."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rookery.shared.store.ids import ArchiveIds, epoch_of

EPOCHS = st.integers(0, 2**23 - 2)


@given(EPOCHS, st.integers(1, 50))
def test_ids_rise_and_a_later_epoch_is_above_all_of_an_earlier_one(epoch: int, count: int) -> None:
    ids, later = ArchiveIds(epoch), ArchiveIds(epoch + 1)
    given_out = [ids.next() for _ in range(count)]
    assert given_out == sorted(set(given_out))
    assert later.next() > given_out[-1]
    assert {epoch_of(one) for one in given_out} == {epoch}
    assert all(0 < one < 2**63 for one in given_out)


def test_an_epoch_that_is_used_up_does_not_run_into_the_next() -> None:
    ids = ArchiveIds(3)
    ids._last = (3 << 40) + 2**40 - 2
    assert epoch_of(ids.next()) == 3
    with pytest.raises(OverflowError):
        ids.next()


@pytest.mark.parametrize("epoch", [-1, 2**23])
def test_epochs_that_do_not_fit_are_refused(epoch: int) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        ArchiveIds(epoch)
