"""What a client does with nodes: it makes its own, publishes, is subscribed to those of others, and tells the judge.

A publisher has a node at the service, of which everybody is told, and one on its own account (XEP-0163), of which its own session is told by
its capabilities.
"""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Final
from xml.etree.ElementTree import Element

from tests.cluster.chaos.press import Published
from tests.cluster.chaos.wire import CLIENT, local
from tests.cluster.chaos.world import World

if TYPE_CHECKING:
    from tests.cluster.chaos.client import Client

SERVICE: Final = "pubsub.localhost"
_NS: Final = "http://jabber.org/protocol/pubsub"
_ITEMS: Final = f"{{{_NS}#event}}event/{{{_NS}#event}}items"
_ITEM: Final = f"{{{_NS}#event}}item"
_DISCO: Final = "http://jabber.org/protocol/disco#info"
_CAPS: Final = "http://jabber.org/protocol/caps"


class Publishing:
    """One client's nodes. `own`: whether it publishes; `nodes`: who does, by number: it is subscribed to all of these."""

    def __init__(self, client: Client, world: World, own: bool, nodes: tuple[int, ...]) -> None:
        self._client = client
        self._world = world
        self.own = own
        #: Nodes that it is not subscribed to yet.
        self._wanted = {f"all{number}" for number in nodes}
        self._nodes = tuple(sorted(self._wanted))
        self._n = 0
        feature = f"own{client.index}+notify"
        self._features = sorted((_DISCO, _CAPS, feature))
        text = "client/pc//chaos<" + "".join(f"{one}<" for one in self._features)
        self._hash = base64.b64encode(hashlib.sha1(text.encode(), usedforsecurity=False).digest()).decode()

    @property
    def ready(self) -> bool:
        """Whether it is subscribed to all."""
        return not self._wanted

    def presence(self) -> bytes:
        """Available; a publisher says which node of its own it wants to be told of."""
        if not self.own:
            return b"<presence/>"
        caps = f"<c xmlns='{_CAPS}' hash='sha-1' node='urn:chaos' ver='{self._hash}'/>"
        return f"<presence>{caps}</presence>".encode()

    def begin(self) -> None:
        """A new session: what it lacks, and a question whose answer says that its presence was taken."""
        if not self._nodes:
            return
        if self.own:
            fields = "".join(
                f"<field var='{var}'><value>{value}</value></field>"
                for var, value in (
                    ("FORM_TYPE", f"{_NS}#node_config"),
                    ("pubsub#send_last_published_item", "never"),
                )
            )
            form = f"<configure><x xmlns='jabber:x:data' type='submit'>{fields}</x></configure>"
            self._ask("node-make", f"<create node='all{self._client.index}'/>{form}")
        for node in sorted(self._wanted):
            self._subscribe(node)
        assert self._client.chain is not None
        self._client.send(
            f"<iq type='get' id='node-here-{self._client.chain.number}'><query xmlns='jabber:iq:roster'/></iq>".encode()
        )

    def _subscribe(self, node: str) -> None:
        if self._client.chain is not None:
            self._ask(f"node-sub-{node}", f"<subscribe node='{node}' jid='{self._client.jid}'/>")

    def _ask(self, id: str, what: str, to: str = SERVICE) -> None:
        address = f" to='{to}'" if to else ""
        self._client.send(
            f"<iq type='set' id='{id}'{address}><pubsub xmlns='{_NS}'>{what}</pubsub></iq>".encode()
        )

    def publish(self) -> None:
        """The next item: of the node that all are told of, or of the one on the account."""
        client, world = self._client, self._world
        assert client.chain is not None
        self._n += 1
        node, to = (f"all{client.index}", SERVICE) if self._n % 3 else (f"own{client.index}", "")
        item = Published(node, self._n)
        world.press.sent(item, client.chain.number, world.loop.now)
        # (the id of an item on the account is the same each time, so that one is kept)
        id = str(self._n) if to else "current"
        payload = f"<x xmlns='urn:chaos'>{item.name}</x>"
        self._ask(
            f"node-item-{item.name}", f"<publish node='{node}'><item id='{id}'>{payload}</item></publish>", to
        )

    # --- what comes ---

    def message(self, element: Element) -> bool:
        """Whether it was a notification."""
        items = element.find(_ITEMS)
        if items is None:
            return False
        assert self._client.chain is not None
        for item in items.iter(_ITEM):
            node, _, n = (item.findtext("{urn:chaos}x") or "").partition(":")
            if n:
                told, by = Published(node, int(n)), element.get("id", "")
                chain, now = self._client.chain.number, self._world.loop.now
                self._world.press.told(self._client.index, chain, told, now, by)
        return True

    def iq(self, element: Element) -> bool:
        """Whether it was an answer about nodes, or a question for what the client can do."""
        id, type = element.get("id", ""), element.get("type", "")
        query = element.find(f"{{{_DISCO}}}query")
        if type == "get" and query is not None:
            self._describe(element, query)
            return True
        if not id.startswith("node-"):
            return False
        _, what, *rest = id.split("-", 2)
        condition = _condition(element) if type == "error" else ""
        world, now = self._world, self._world.loop.now
        if what == "sub":
            if condition:
                world.loop.after(0.5, lambda: self._subscribe(rest[0]))
            else:
                self._wanted.discard(rest[0])
        elif what == "item":
            node, _, n = rest[0].partition(":")
            world.press.answered(Published(node, int(n)), now, condition)
        elif what == "here" and not condition:
            for node in self._nodes:
                if node not in self._wanted:
                    world.press.listens(self._client.index, int(rest[0]), node, now)
        return True

    def _describe(self, element: Element, query: Element) -> None:
        to = f" to='{element.get('from')}'" if element.get("from") else ""
        features = "".join(f"<feature var='{one}'/>" for one in self._features)
        self._client.send(
            f"<iq type='result' id='{element.get('id', '')}'{to}><query xmlns='{_DISCO}' node='{query.get('node', '')}'>"
            f"<identity category='client' type='pc' name='chaos'/>{features}</query></iq>".encode()
        )


def _condition(element: Element) -> str:
    error = element.find(f"{{{CLIENT}}}error")
    return local(error[0]) if error is not None and len(error) else "error"
