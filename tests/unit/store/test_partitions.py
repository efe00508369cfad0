"""Which partitions are to be made and which may go, as pure functions."""

from __future__ import annotations

import pytest

from rookery.shared.store.partitions import Partition, gaps, is_missing, wanted, width
from rookery.shared.store.retention import old
from rookery.shared.store.statements import peer_mark, uid_mark


def days(*bounds: tuple[int, int]) -> list[Partition]:
    return [Partition("archive", first, end) for first, end in bounds]


@pytest.mark.parametrize(
    ("have", "made"),
    [
        ([], [(100, 101), (101, 102), (102, 103)]),
        (days((100, 101)), [(101, 102), (102, 103)]),
        (days((99, 100), (100, 103)), []),
        (days((60, 61)), [(100, 101), (101, 102), (102, 103)]),  # nobody was there for a while
        (days((98, 102)), [(102, 103)]),
    ],
)
def test_there_is_always_room_ahead_and_nothing_overlaps(
    have: list[Partition], made: list[tuple[int, int]]
) -> None:
    assert wanted(have, 100, 1, 2) == made


def test_wider_ones_begin_where_the_others_end() -> None:
    assert wanted(days((100, 101), (101, 102)), 100, 6, 3) == [(102, 108)]


@pytest.mark.parametrize(
    ("have", "first", "made"),
    [
        (days((100, 101)), 98, [(98, 99), (99, 100)]),
        (days((97, 98), (99, 100), (100, 103)), 96, [(96, 97), (98, 99)]),
        (days((97, 101)), 98, []),
        (days((97, 101)), 100, []),
        ([], 100, [(100, 101)]),
        (
            days((90, 102)),
            50,
            [
                (50, 55),
                (55, 59),
                (59, 63),
                (63, 66),
                (66, 69),
                (69, 72),
                *((n, n + 2) for n in range(72, 82, 2)),
                *((n, n + 1) for n in range(82, 90)),
            ],
        ),
    ],
)
def test_what_is_imported_finds_its_days(
    have: list[Partition], first: int, made: list[tuple[int, int]]
) -> None:
    assert gaps(have, first, 100) == made


def test_ten_years_are_not_too_many_parts() -> None:
    made = gaps(days((3660, 3664)), 0, 3660)
    assert len(made) < 80
    assert all(end - first <= max(1, (3660 - first) / 10) for first, end in made)
    assert [first for first, _ in made] == [0, *(end for _, end in made[:-1])]


@pytest.mark.parametrize(("keeps", "wide"), [(1, 1), (30, 1), (119, 1), (120, 2), (365, 6), (3650, 60)])
def test_an_archive_has_about_sixty_parts_however_long_it_keeps(keeps: int, wide: int) -> None:
    assert width(keeps) == wide


def test_only_what_is_old_in_whole_goes() -> None:
    have = [*days((90, 91), (91, 94), (94, 95)), Partition("archive", 70, 71, attached=False)]
    assert [one.first for one in old(have, 93)] == [90, 70]
    assert [one.first for one in old(have, 94)] == [90, 91, 70]


def test_a_missing_partition_is_not_a_refused_row() -> None:
    class CheckViolationError(Exception):
        sqlstate = "23514"

    assert is_missing(CheckViolationError('no partition of relation "archive" found for row'))
    assert not is_missing(CheckViolationError('new row violates check constraint "x"'))
    assert not is_missing(ValueError("no partition of relation"))


def test_marks_fit_their_columns_and_tell_directions() -> None:
    for peer in ("", "a@b", "käse@example.org", "x" * 1000):
        assert -(2**31) <= peer_mark(peer) < 2**31
    for digest in (b"\0" * 16, b"\xff" * 16, b"abcdefgh12345678"):
        incoming, outgoing = uid_mark(digest, False), uid_mark(digest, True)
        assert -(2**63) <= incoming < outgoing < 2**63
        assert (incoming & 1, outgoing & 1) == (0, 1)
    assert uid_mark(b"abcdefgh", False) != uid_mark(b"abcdefgj", False)
