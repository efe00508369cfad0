"""Probes are checked for many at once, each gets its own answer, and Postgres being away only delays them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

from rookery.shared.db.api import Fenced
from rookery.workers.presence import checks as module
from rookery.workers.presence import store
from rookery.workers.presence.checks import Checks
from rookery.workers.presence.rules import Relation


class Postgres:
    """Answers that an account is seen by its namesake; `gate` holds answers back."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[list[tuple[str, str]]] = []
        self.gate = trio.Event()
        self.gate.set()
        self.fenced = False
        monkeypatch.setattr(store, "relations", self._relations)

    async def _relations(self, conn: object, pairs: Sequence[tuple[str, str]]) -> list[Relation]:
        await trio.lowlevel.checkpoint()
        return [Relation(True, account == asker, frozenset()) for account, asker in pairs]

    async def run(self, partition: int, work: Any) -> Any:
        if self.fenced:
            raise Fenced
        await self.gate.wait()
        relations = await work(self)
        self.asked.append(relations)
        return relations


@pytest.fixture
def postgres(monkeypatch: pytest.MonkeyPatch) -> Postgres:
    return Postgres(monkeypatch)


@asynccontextmanager
async def running(postgres: Postgres) -> AsyncIterator[tuple[Checks, trio.Nursery]]:
    checks = Checks(postgres.run)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(checks.run)
        yield checks, nursery
        nursery.cancel_scope.cancel()


async def ask(checks: Checks, got: dict[str, bool], asker: str) -> None:
    got[asker] = (await checks.ask(3, "a@x", asker)).seen


async def test_many_questions_are_one_statement(postgres: Postgres) -> None:
    got: dict[str, bool] = {}
    async with running(postgres) as (checks, nursery):
        for asker in ("a@x", "b@x", "c@x"):
            nursery.start_soon(ask, checks, got, asker)
        await trio.testing.wait_all_tasks_blocked()
    assert got == {"a@x": True, "b@x": False, "c@x": False}
    assert [len(batch) for batch in postgres.asked] == [3]


async def test_what_is_asked_meanwhile_is_the_next_statement(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_CHECKS", 2)
    got: dict[str, bool] = {}
    async with running(postgres) as (checks, nursery):
        postgres.gate = trio.Event()
        nursery.start_soon(ask, checks, got, "a@x")
        await trio.testing.wait_all_tasks_blocked()
        for asker in ("b@x", "c@x", "d@x"):
            nursery.start_soon(ask, checks, got, asker)
        await trio.testing.wait_all_tasks_blocked()
        assert got == {}
        postgres.gate.set()
        await trio.testing.wait_all_tasks_blocked()
    assert len(got) == 4
    assert [len(batch) for batch in postgres.asked] == [1, 2, 1]


async def test_a_fenced_process_stops_asking(postgres: Postgres) -> None:
    checks = Checks(postgres.run)
    postgres.fenced = True
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, checks, {}, "a@x")
        with trio.fail_after(5):
            await checks.run()
        nursery.cancel_scope.cancel()
