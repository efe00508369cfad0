"""Open files: raised as far as is allowed, refused clearly beyond."""

from __future__ import annotations

import resource

import pytest

from rookery.bench.files import raise_files
from rookery.bench.plan import PlanError


class Limits:
    """The limits of a process that is not root."""

    def __init__(self, soft: int, hard: int) -> None:
        self.now = (soft, hard)

    def get(self, _which: int) -> tuple[int, int]:
        return self.now

    def set(self, _which: int, limits: tuple[int, int]) -> None:
        if limits[1] > self.now[1]:
            raise ValueError("not allowed to raise maximum limit")
        self.now = limits


@pytest.mark.parametrize(
    ("before", "need", "after"),
    [((1024, 4096), 100, (1024, 4096)), ((1024, 4096), 2000, (2000, 4096)), ((1024, 4096), 5000, None)],
)
def test_as_many_as_may_be(
    monkeypatch: pytest.MonkeyPatch, before: tuple[int, int], need: int, after: tuple[int, int] | None
) -> None:
    limits = Limits(*before)
    monkeypatch.setattr(resource, "getrlimit", limits.get)
    monkeypatch.setattr(resource, "setrlimit", limits.set)
    if after is None:
        with pytest.raises(PlanError, match="a server needs 5000 open files, and 4096 are allowed"):
            raise_files(need, "a server", "use fewer")
    else:
        raise_files(need, "a server", "use fewer")
        assert limits.now == after
