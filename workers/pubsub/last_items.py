"""The last items of nodes for sessions that want them (XEP-0163 section 4.3): one statement for all that ask while another one runs."""

from __future__ import annotations

import re
from collections import deque
from typing import Final

import trio

from rookery.shared.bus.messages import Interest, Kind, LastItems
from rookery.shared.db.api import Fenced
from rookery.shared.xmpp.jid import bare_of
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import escape_attr, open_tag
from rookery.workers.hosted import HostedWorker
from rookery.workers.pubsub import reader
from rookery.workers.pubsub.changes import NS_EVENT, event, type_of
from rookery.workers.pubsub.node import Item, Node
from rookery.workers.pubsub.notices import Told, message, stream_of, written
from rookery.workers.pubsub.publisher import item_element, items_element

#: Sessions that one statement asks for, and octets of one answer.
MAX_ASKED: Final = 64
MAX_BYTES: Final = 262_144
#: A payload whose root says its namespace: inside another element it is written as it is alone.
_ROOT: Final = re.compile(rb"<[^\s/>]+ xmlns='")


class LastItemsOf:
    """Answers Interest."""

    def __init__(self, worker: HostedWorker) -> None:
        self._worker = worker
        self._waiting: deque[tuple[int, Interest]] = deque()
        self._some = trio.Event()
        #: Sessions that have no answer yet.
        self.open = 0

    def ask(self, partition: int, item: Interest) -> None:
        """A session wants notifications."""
        self._waiting.append((partition, item))
        self.open += 1
        self._some.set()

    async def run(self) -> None:
        """Answer until cancelled, or until this process may not go on."""
        while True:
            await self._some.wait()
            self._some = trio.Event()
            # Whatever the same turn of the loop asks belongs to the same statement.
            await trio.lowlevel.checkpoint()
            while self._waiting:
                asked = [self._waiting.popleft() for _ in range(min(MAX_ASKED, len(self._waiting)))]
                try:
                    await self._answer(asked)
                except Fenced:
                    return
                self.open -= len(asked)

    async def _answer(self, asked: list[tuple[int, Interest]]) -> None:
        questions = [(bare_of(item.full), item.names) for _, item in asked]
        found = await self._worker.database(asked[0][0], lambda conn: reader.last_items(conn, questions))
        answers: dict[int, list[reader.Last]] = {}
        for one in found:
            if one.allowed:
                answers.setdefault(one.k, []).append(one)
        for k, lasts in answers.items():
            self._send(asked[k][1], lasts)

    def _send(self, item: Interest, lasts: list[reader.Last]) -> None:
        """In items that fit into a bus message."""
        router = self._worker.node.partition(item.account)
        some: list[tuple[bytes, int, Stanza]] = []
        size = 0
        for one in lasts:
            node = one.node
            stanza = message(node.owner, node.id, told(node, one.item))
            size += len(stanza.inner) + 256
            if some and size > MAX_BYTES:
                self._worker.node.bus.post(Kind.ROUTER, router, LastItems(item.full, item.stream, some))
                some, size = [], len(stanza.inner) + 256
            some.append((stream_of(node.id), one.item.n, stanza))
        self._worker.node.bus.post(Kind.ROUTER, router, LastItems(item.full, item.stream, some))


def told(node: Node, item: Item) -> Told:
    """The notification of a last item, as `event` and `items_element` make it, of which a login needs hundreds: a payload is kept as it is written."""
    payload = item.payload if node.config.on("deliver_payloads") else b""
    if payload and _ROOT.match(payload) is None:
        (slow,) = written([event(node, items_element(node, (item,)), item.n)])
        return slow
    empty = item_element(NS_EVENT, node, item, payload=False)
    head = open_tag(NS_EVENT, "item", empty.attrs, NS_EVENT)
    before = f"<event xmlns='{NS_EVENT}'><items node='{escape_attr(node.name)}'>{head}".encode()
    inner = before + (b">%b</item></items></event>" % payload if payload else b"/></items></event>")
    return Told(item.n, type_of(node), ((NS_EVENT, "event"),), inner, (), True)
