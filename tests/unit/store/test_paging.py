"""Which days a page asks, and what becomes of rows of several sources, as pure functions."""

from __future__ import annotations

import itertools

import pytest

from rookery.shared.store.paging import Page, Wanted, back, on


@pytest.mark.parametrize("days", [back(20_000), on(20_000), on(0)])
def test_days_are_asked_once_and_all_of_them(days: list[tuple[int, int]]) -> None:
    ordered = sorted(days)
    assert days in (ordered, ordered[::-1])
    assert all(past == first for (_, past), (first, _) in itertools.pairwise(ordered))


def rows(*ids: int, found: int = 0, size: int = 1) -> list[dict[str, object]]:
    return [{"id": id, "found": found or len(ids), "stanza": b"x" * size} for id in ids]


def page(limit: int, *sources: list[dict[str, object]], backwards: bool = False) -> tuple[list[int], bool]:
    it = Page(Wanted("", "", (), 0, limit, 10, backwards))
    for one in sources:
        it.add(one)
    found, more = it.cut()
    return [row["id"] for row in found], more


def test_rows_of_all_sources_come_in_one_order() -> None:
    assert page(9, rows(1, 4), rows(2, 3), []) == ([1, 2, 3, 4], False)
    assert page(9, rows(4, 1), rows(3, 2), backwards=True) == ([4, 3, 2, 1], False)


def test_nothing_is_behind_the_end_of_a_source_that_has_more() -> None:
    assert page(3, rows(1, 2, 9), rows(3, 4)) == ([1, 2, 3], True)
    assert page(9, rows(1, 2, found=5), rows(3, 4)) == ([1, 2], True)
    assert page(9, rows(9, 8, found=5), rows(7, 10), backwards=True) == ([10, 9, 8], True)


def test_a_page_is_cut_where_it_is_too_large_but_has_one_row() -> None:
    assert page(9, rows(1, 2, 3, size=6)) == ([1, 2], True)
    assert page(9, rows(1, size=60)) == ([1], False)
