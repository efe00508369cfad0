"""Contacts at other servers: which notifications their clients want, by the capabilities in their presence (XEP-0163 section 4.3.2).

The router passes on what presence of other servers says of capabilities (`TheirPresence`), for contacts alone it is looked at. What a hash stands
for is asked of the first client that has it, as the account, and believed when the answer has that hash (XEP-0115, XEP-0390). All this is memory: an account that
publishes for the first time under this process asks its contacts for their presence.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Final

import trio

from rookery.shared.bus.messages import TheirAnswer, TheirPresence
from rookery.shared.xeps.blocking import matches
from rookery.shared.xeps.client_caps import THEIRS, Caps, notified, question, verified
from rookery.shared.xeps.pubsub import NS_DISCO_INFO
from rookery.shared.xmpp.jid import bare_of
from rookery.shared.xmpp.parse import parse_element
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.hosted import HostedWorker
from rookery.workers.pubsub import reader
from rookery.workers.pubsub.keeping import Keeping

#: Hashes that are remembered, questions that are open, clients that wait for one answer, and seconds until another one is asked.
MAX_KNOWN: Final = 4096
MAX_QUESTIONS: Final = 1000
MAX_WAITING: Final = 1000
PATIENCE: Final = 30.0
#: Clients that are remembered, of all accounts and of one; and contacts that one account asks for their presence.
MAX_CLIENTS: Final = 50_000
MAX_OF_ONE: Final = 500
MAX_PROBES: Final = 200
#: Accounts that are known to have asked.
MAX_ASKED: Final = 50_000

_Client = tuple[int, str, str]


class _Question:
    """One hash that is being asked for: of whom (full JID), by which account, and who waits."""

    __slots__ = ("account", "at", "caps", "full", "waiting")

    def __init__(self, caps: Caps, account: str, full: str, at: float) -> None:
        self.caps = caps
        self.account = account
        self.full = full
        self.at = at
        self.waiting: deque[_Client] = deque()


class Elsewhere:
    """Learns what clients at other servers want of each account."""

    def __init__(self, worker: HostedWorker, keeping: Keeping) -> None:
        self._worker = worker
        self._keeping = keeping
        keeping.notices.wanting = self.wanting
        keeping.on_told = self.told
        self._known: OrderedDict[tuple[str, str], frozenset[str]] = OrderedDict()
        self._questions: dict[str, _Question] = {}
        self._asked: dict[tuple[str, str], str] = {}
        #: Account -> (partition, full JID -> names of nodes); the account that heard of somebody last is last.
        self._accounts: OrderedDict[str, tuple[int, dict[str, frozenset[str]]]] = OrderedDict()
        self._probed: OrderedDict[str, int] = OrderedDict()
        self.count = 0

    # --- who wants what ----------------------------------------------------------------------------------------------

    def wanting(self, owner: str, contacts: Iterable[str], name: str) -> list[str]:
        """The full JIDs of these contacts (bare) that want notifications of nodes of that name."""
        known = self._accounts.get(owner)
        if known is None:
            return []
        may = frozenset(contacts)
        return [full for full, wants in known[1].items() if name in wants and bare_of(full) in may]

    def on_presence(self, partition: int, item: TheirPresence) -> None:
        """A client at another server came, has changed, or went."""
        if item.ver or item.account in self._accounts or self._worker.lanes.busy(partition, item.account):
            self._worker.job(partition, item.account, partial(self._presence, partition, item))

    async def _presence(self, partition: int, item: TheirPresence) -> None:
        account, full = item.account, item.full
        if not item.ver:
            self._set(partition, account, full, frozenset())
            return
        bare = bare_of(full)
        seen = await self._keeping.seen(partition, account)
        if bare not in seen.contacts or (seen.blocked and matches(seen.blocked, full)):
            return
        caps = Caps(item.hash, item.ver, item.node, item.second)
        known = self._known.get(caps.key)
        if known is None:
            self._ask(caps, (partition, account, full))
            return
        self._known.move_to_end(caps.key)
        await self._learned(partition, account, full, known)

    async def _learned(self, partition: int, account: str, full: str, wants: frozenset[str]) -> None:
        """What it did not want before it gets the last items of."""
        fresh = wants - self._set(partition, account, full, wants)
        if fresh:
            await self._keeping.show(partition, account, bare_of(full), full, fresh)

    def _set(self, partition: int, account: str, full: str, wants: frozenset[str]) -> frozenset[str]:
        """Remember it; returns what was known before. A client for which there is no room wants nothing."""
        known = self._accounts.get(account)
        if known is None:
            if not wants:
                return frozenset()
            known = self._accounts[account] = (partition, {})
        clients = known[1]
        before = clients.pop(full, None)
        self.count -= before is not None
        if wants and len(clients) < MAX_OF_ONE:
            clients[full] = wants
            self.count += 1
            self._accounts.move_to_end(account)
        if not clients:
            del self._accounts[account]
        while self.count > MAX_CLIENTS and len(self._accounts) > 1:
            self._drop(next(iter(self._accounts)))
        return before or frozenset()

    # --- questions ---------------------------------------------------------------------------------------------------

    def _ask(self, caps: Caps, client: _Client) -> None:
        id = self._asked.get(caps.key)
        open_ = None if id is None else self._questions.get(id)
        if open_ is not None:
            if len(open_.waiting) < MAX_WAITING:
                open_.waiting.append(client)
        elif len(self._questions) < MAX_QUESTIONS:
            self._begin(caps, client, deque())

    def _begin(self, caps: Caps, client: _Client, waiting: deque[_Client]) -> None:
        _, account, full = client
        id = THEIRS + secrets.token_urlsafe(9)
        asked = self._questions[id] = _Question(caps, account, full, trio.current_time())
        asked.waiting = waiting
        asked.waiting.appendleft(client)
        self._asked[caps.key] = id
        self._worker.route(question(caps, id, account, full))

    def on_answer(self, item: TheirAnswer) -> None:
        """A client at another server has said what it can do, or not."""
        asked = self._questions.get(item.id)
        if asked is None or (asked.account, asked.full) != (item.account, item.full):
            return
        self._end(item.id, asked)
        wants = _wants(asked.caps, item.query)
        if wants is None:
            # It cannot tell what the others with this hash want (XEP-0115 section 5.4).
            self._next(asked)
            return
        self._known[asked.caps.key] = wants
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
        for partition, account, full in asked.waiting:
            self._worker.job(partition, account, partial(self._learned, partition, account, full, wants))

    def _end(self, id: str, asked: _Question) -> None:
        del self._questions[id]
        if self._asked.get(asked.caps.key) == id:
            del self._asked[asked.caps.key]

    def _next(self, asked: _Question) -> None:
        waiting = deque(client for client in asked.waiting if client[1:] != (asked.account, asked.full))
        if waiting:
            self._begin(asked.caps, waiting.popleft(), waiting)

    def tick(self) -> None:
        """Ask somebody else where nobody has answered; call it every few seconds."""
        late = trio.current_time() - PATIENCE
        for id, asked in [(id, asked) for id, asked in self._questions.items() if asked.at < late]:
            self._end(id, asked)
            self._next(asked)

    # --- presence that is asked for ----------------------------------------------------------------------------------

    def told(self, partition: int, owner: str, contacts: Sequence[str]) -> None:
        """An account has published: what its contacts elsewhere want, a former holder knew."""
        if owner in self._probed:
            return
        self._probed[owner] = partition
        if len(self._probed) > MAX_ASKED:
            self._probed.popitem(last=False)
        addresses = self._worker.addresses
        if any(not addresses.account(jid) and addresses.serves(jid) for jid in contacts):
            self._worker.job(partition, owner, partial(self._probe_all, partition, owner))

    async def _probe_all(self, partition: int, owner: str) -> None:
        known = self._accounts.get(owner)
        there = frozenset(bare_of(full) for full in known[1]) if known is not None else frozenset()
        found = await self._worker.database(partition, lambda conn: reader.mutual(conn, owner))
        elsewhere = [jid for jid in found if jid not in there and not self._worker.addresses.account(jid)]
        for jid in elsewhere[:MAX_PROBES]:
            self.probe(owner, jid)

    def probe(self, owner: str, contact: str) -> None:
        """Ask for the presence of a contact that lets the account see it (RFC 6121 section 4.3)."""
        if self._worker.addresses.serves(contact):
            self._worker.route(Stanza.build("presence", type="probe", to=contact, from_=owner))

    # --- the end of what is known ------------------------------------------------------------------------------------

    def forget_contact(self, account: str, contact: str) -> None:
        """It does not see the account any more."""
        known = self._accounts.get(account)
        for full in [full for full in (known[1] if known is not None else ()) if bare_of(full) == contact]:
            self._set(0, account, full, frozenset())

    def forget(self, partition: int) -> None:
        """Another process holds the partition now."""
        for account in [name for name, one in self._accounts.items() if one[0] == partition]:
            self._drop(account)
        for account in [name for name, number in self._probed.items() if number == partition]:
            del self._probed[account]

    def _drop(self, account: str) -> None:
        self.count -= len(self._accounts.pop(account)[1])
        # What it publishes next makes it ask.
        self._probed.pop(account, None)


def _wants(caps: Caps, query: bytes) -> frozenset[str] | None:
    """The nodes that an answer wants; None when it does not have the hash."""
    try:
        element = parse_element(query) if query else None
    except ValueError:
        return None
    if element is None or (element.ns, element.name) != (NS_DISCO_INFO, "query"):
        return None
    return notified(element) if verified(caps, element) else None
