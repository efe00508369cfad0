"""What a verb refused is one line of a command, whatever ran beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from rookery.admin.desk import Desk
from rookery.admin.errors import NotFound, Unreachable, VerbError
from rookery.cli import EX_FAILED, EX_UNAVAILABLE, CommandError, desk
from rookery.shared.config import Config


@asynccontextmanager
async def _beside_tasks(config: Config, *, cluster: bool = False) -> AsyncIterator[Desk]:
    """As the way to a cluster is open: inside of the nurseries of the bus and of what follows the leases."""
    async with trio.open_nursery(), trio.open_nursery():
        yield None  # type: ignore[misc]  the verb of this test uses nothing


@pytest.mark.parametrize(
    ("error", "code"), [(NotFound("no room"), EX_FAILED), (Unreachable("no router"), EX_UNAVAILABLE)]
)
def test_a_refusal_is_one_line(monkeypatch: pytest.MonkeyPatch, error: VerbError, code: int) -> None:
    monkeypatch.setattr(desk, "open_desk", _beside_tasks)

    async def verb(_: Desk) -> None:
        raise error

    with pytest.raises(CommandError, match=str(error)) as told:
        desk.work(Config(), verb, cluster=True)
    assert told.value.code == code


def test_a_fault_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk, "open_desk", _beside_tasks)

    async def verb(_: Desk) -> None:
        raise RuntimeError("a bug")

    with pytest.raises(ExceptionGroup):
        desk.work(Config(), verb, cluster=True)
