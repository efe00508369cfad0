"""Old parsers are told from good ones."""

from __future__ import annotations

import pyexpat

import pytest

from rookery.shared.xmpp.expat import outdated


@pytest.mark.parametrize("version", [(2, 7, 2), (2, 7, 10), (2, 8, 0), (3, 0, 0)])
def test_good_ones_need_no_word(version: tuple[int, int, int]) -> None:
    assert outdated(version) == ""


@pytest.mark.parametrize("version", [(2, 7, 1), (2, 5, 0), (1, 95, 8)])
def test_old_ones_are_named(version: tuple[int, int, int]) -> None:
    assert outdated(version).startswith(f"expat {'.'.join(map(str, version))} is below 2.7.2: ")


def test_the_parser_that_runs_is_looked_at() -> None:
    assert bool(outdated()) == (pyexpat.version_info < (2, 7, 2))
