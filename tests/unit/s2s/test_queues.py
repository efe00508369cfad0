"""What the holder of a domain does with rows whose time is over: each is given up once, and none that has arrived."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import trio

from rookery.shared.bus.messages import NOBODY
from rookery.shared.store.holding import Held
from rookery.shared.store.rows import pack_stanza
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.s2s.outgoing.remotes import Remotes
from rookery.workers.s2s.queue import sql
from rookery.workers.s2s.queue.entries import Entry
from rookery.workers.s2s.queues import Queues
from rookery.workers.s2s.streams.api import Trouble

HERE, THERE, PARTITION = "here.example", "there.example", 1
STANZA = Stanza.build("message", to=f"b@{THERE}", from_=f"a@{HERE}")


class _Writer:
    """Finds `rows` expired at each look, and deletes when it is told that it may."""

    def __init__(self) -> None:
        self.rows: list[sql.Old] = []
        self.gone_rows: list[tuple[str, str, int]] = []
        self.deleted: Callable[[list[tuple[str, str, int]]], None]

    async def persist(self, op: str, work: object) -> Any:
        await trio.lowlevel.checkpoint()
        return list(self.rows) if op == "s2s_expired" else None

    def gone(self, *row: Any) -> None:
        self.gone_rows.append(row)

    def delete(self) -> None:
        """The statement is committed."""
        gone, self.gone_rows = self.gone_rows, []
        self.rows = [row for row in self.rows if row[:3] not in gone]
        self.deleted(gone)


@contextmanager
def queues() -> Iterator[tuple[Queues, _Writer, Remotes, list[int]]]:
    writer, told = _Writer(), list[int]()

    def give_up(row: sql.Old, trouble: Trouble | None) -> None:
        told.append(row.seq)
        made.left(row[:3])

    made = Queues(writer, "me", give_up)  # type: ignore[arg-type]
    made.remotes = remotes = Remotes(made, longest_pause=1.0)
    remotes.hold(Held(PARTITION, 1))
    yield made, writer, remotes, told


def _push(remotes: Remotes, writer: _Writer, *seqs: int) -> None:
    pair = remotes.get(THERE, PARTITION).pair(HERE)
    for seq in seqs:
        pair.push(Entry(STANZA, NOBODY, seq, 0.0, 1.0))
        writer.rows.append(sql.Old(THERE, HERE, seq, b"", seq, pack_stanza(STANZA)))


async def test_a_row_is_given_up_once_though_it_is_found_until_it_is_deleted() -> None:
    with queues() as (made, writer, remotes, told):
        _push(remotes, writer, 1, 2, 3)
        for _ in range(3):
            await made.hasten((THERE, HERE))
        assert told == [1, 2, 3]
        assert remotes.waiting() == 0
        writer.delete()
        await made.hasten((THERE, HERE))
        assert told == [1, 2, 3]
        assert not made.leaving


async def test_a_look_that_began_before_the_deletion_gives_nothing_up_twice() -> None:
    with queues() as (made, writer, remotes, told):
        _push(remotes, writer, 1)
        await made.hasten((THERE, HERE))
        found = list(writer.rows)
        writer.delete()
        writer.rows = found  # (what a statement sees that began earlier)
        made._give_up_all(found)
        assert told == [1]
        assert remotes.waiting() == 0


@pytest.mark.parametrize("acked", [True, False])
async def test_what_the_other_side_has_is_not_given_up(acked: bool) -> None:
    with queues() as (made, writer, remotes, told):
        _push(remotes, writer, 1)
        pair = remotes.get(THERE, PARTITION).pair(HERE)
        if acked:
            pair.acked = 1
        await made.hasten((THERE, HERE))
        assert told == ([] if acked else [1])
