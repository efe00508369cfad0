"""Archive ids."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rookery.shared.store.ids import COUNTER_BITS, ArchiveIds, Seal

EPOCHS = st.integers(0, 2**23 - 2)


@given(EPOCHS, st.integers(1, 50))
def test_ids_rise_and_a_later_epoch_is_above_all_of_an_earlier_one(epoch: int, count: int) -> None:
    ids, later = ArchiveIds(epoch), ArchiveIds(epoch + 1)
    given_out = [ids.next() for _ in range(count)]
    assert given_out == sorted(set(given_out))
    assert later.next() > given_out[-1]
    assert {one >> COUNTER_BITS for one in given_out} == {epoch}
    assert all(0 < one < 2**63 for one in given_out)


def test_an_epoch_that_is_used_up_does_not_run_into_the_next() -> None:
    ids = ArchiveIds(3)
    ids._last = (3 << 40) + 2**40 - 2
    assert ids.next() >> COUNTER_BITS == 3
    with pytest.raises(OverflowError):
        ids.next()


@pytest.mark.parametrize("epoch", [-1, 2**23])
def test_epochs_that_do_not_fit_are_refused(epoch: int) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        ArchiveIds(epoch)


def test_what_clients_see_opens_only_for_its_account_and_cluster() -> None:
    seal = Seal(b"secret")
    text = seal.seal(7, 12)
    assert (len(text), seal.open(7, text)) == (22, 12)
    assert seal.open(8, text) is None
    assert Seal(b"other").open(7, text) is None
    assert Seal(b"secret").seal(7, 12) == text, "every process of the cluster and every later one reads it"


@pytest.mark.parametrize(
    "text", ["", "12", "x" * 22, "é" * 22, "A" * 21 + "=", "' OR 1=1 --", "\x00" * 22, "A" * 5000]
)
def test_what_we_did_not_make_does_not_open(text: str) -> None:
    assert Seal(b"secret").open(1, text) is None


@given(st.integers(1, 2**63 - 1), st.integers(1, 2**63 - 1), st.integers(0, 131))
def test_one_bit_more_or_less_does_not_open(account: int, id: int, bit: int) -> None:
    seal = Seal(b"secret")
    text = seal.seal(account, id)
    assert seal.open(account, text) == id
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    at = bit % 22
    other = text[:at] + alphabet[alphabet.index(text[at]) ^ (1 << bit % 6)] + text[at + 1 :]
    assert seal.open(account, other) is None
