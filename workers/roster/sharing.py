"""Tells the clients of accounts, and whoever remembers rosters, that what they see through shared groups has changed.

Each account is told in its own lane, so a push never shows an older state than the one before it. What the lanes need of Postgres
is read together: a group of hundreds that begins is some statements in each process, not one for each member.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import Final

import trio

from rookery.shared.bus.group_notices import shared_contacts
from rookery.shared.bus.messages import AccountChanged, Kind, RosterChanged, SharedContacts
from rookery.shared.db.api import Connection, Fenced
from rookery.shared.xmpp.jid import Jid
from rookery.workers.roster import notices, shared
from rookery.workers.roster.pushing import Pushing
from rookery.workers.roster.roster import Item

#: Pairs in one statement.
MAX_PAIRS: Final = 2000
#: With more new contacts than this at once their last items (XEP-0163) are sent when they come online the next time.
MAX_SHOWN: Final = 32
_MEMBERS: Final = """
SELECT contact FROM account a JOIN shared_contact s ON s.account_id = a.id WHERE a.domain = $1 AND a.localpart = $2"""

Found = Sequence[tuple[int, Item] | None]


class _Question:
    __slots__ = ("done", "found", "pairs", "partition")

    def __init__(self, partition: int, pairs: Sequence[tuple[str, str]]) -> None:
        self.partition = partition
        self.pairs = pairs
        self.found: Found = ()
        self.done = trio.Event()


class Sharing:
    """What follows a change of groups, for the accounts in the held partitions."""

    def __init__(self, worker: Pushing) -> None:
        self._worker = worker
        self._waiting: deque[_Question] = deque()
        self._some = trio.Event()

    def on_changed(self, partition: int, item: SharedContacts) -> None:
        """Groups have changed what some accounts of a partition see."""
        for account in item.accounts:
            self._worker.job(partition, account, partial(self._tell, partition, account, item.contacts))

    async def created(self, partition: int, account: str) -> None:
        """A new account may belong to a group of everybody: the others hear of it."""
        jid = Jid.trusted(account)

        async def read(conn: Connection) -> list[str]:
            return [row["contact"] for row in await conn.fetch(_MEMBERS, jid.domain, jid.local or "")]

        others = await self._worker.database(partition, read)
        self._worker.tell(shared_contacts(others, [account]))

    async def run(self) -> None:
        """Read what the lanes wait for, until cancelled, or until this process may not go on."""
        while True:
            await self._some.wait()
            self._some = trio.Event()
            # Whatever the same turn of the loop asks belongs to the same statement.
            await trio.lowlevel.checkpoint()
            while self._waiting:
                try:
                    await self._answer(self._next())
                except Fenced:
                    return

    def _next(self) -> list[_Question]:
        some = [self._waiting.popleft()]
        pairs = len(some[0].pairs)
        while self._waiting and pairs + len(self._waiting[0].pairs) <= MAX_PAIRS:
            some.append(self._waiting.popleft())
            pairs += len(some[-1].pairs)
        return some

    async def _answer(self, questions: Sequence[_Question]) -> None:
        pairs = [pair for question in questions for pair in question.pairs]
        found = await self._worker.database(questions[0].partition, lambda conn: shared.items(conn, pairs))
        at = 0
        for question in questions:
            question.found = found[at : at + len(question.pairs)]
            at += len(question.pairs)
            question.done.set()

    async def _items(self, partition: int, pairs: Sequence[tuple[str, str]]) -> Found:
        question = _Question(partition, pairs)
        self._waiting.append(question)
        self._some.set()
        await question.done.wait()
        return question.found

    async def _tell(self, partition: int, account: str, contacts: Sequence[str]) -> None:
        pairs = [(account, contact) for contact in contacts if contact != account]
        found = [one for one in await self._items(partition, pairs) if one is not None]
        if not found:
            return
        node = self._worker.node
        changed = AccountChanged(account, "roster")
        for kind in (Kind.PRESENCE, Kind.PUBSUB, Kind.ROUTER):
            node.bus.post(kind, node.partition(account), changed)
        for account_id, item in found:
            self._worker.push(account, account_id, item)
            if len(found) <= MAX_SHOWN:
                told = RosterChanged(account, item.contact, item.subscription)
                node.bus.post(Kind.PUBSUB, node.partition(account), told)
            # The contact sees the account from now on, or not any more.
            visible = item.subscription in ("from", "both")
            notices.send_presence(node, account, item.contact, visible)
