"""Logins of people whose contacts have nodes (XEP-0163): each new session is told the last item of all of them (section 4.3.4).

The first users are guests, twice as many as log in at once (`concurrency`): each has `contacts` contacts among the others, both ways. Everybody has `nodes`
nodes on the own account. An operation is one login of a guest, whose former session ends before: from the connection to the last of these items, the own
ones included. The client says by its capabilities which nodes it wants (XEP-0115) and answers the server's question for them. Exact: an item that did
not come is lost, one that came again before the client left is doubled. All others are online meanwhile, so a login also costs presence to
contacts and theirs.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable
from html import unescape
from typing import Final

from rookery.bench.driver.client import Client
from rookery.bench.driver.driver import SECOND, Driver
from rookery.bench.driver.scan import split
from rookery.bench.driver.script import Script, ScriptError, Send, ask, ask_all
from rookery.bench.result import Messages
from rookery.bench.scenarios._contacts import Acquainted
from rookery.bench.scenarios._rounds import Rounds
from rookery.bench.scenarios._scenario import Phase
from rookery.shared.xmpp import ns
from rookery.shared.xmpp.xml import escape_attr

PUBSUB: Final = "http://jabber.org/protocol/pubsub"
_DISCO: Final = "http://jabber.org/protocol/disco#info"
_CAPS: Final = "http://jabber.org/protocol/caps"
_CLIENT: Final = "https://rookery.example/bench"
_ITEMS: Final = re.compile(rb"<items\b[^>]* node=['\"]([^'\"]+)['\"]")
_FROM: Final = re.compile(rb"\A<message\b[^>]* from=['\"]([^'\"/]+)")
_ASKED: Final = re.compile(rb"\A<iq\b[^>]* type=['\"]get['\"]")
_ID: Final = re.compile(rb"\A<iq\b[^>]* id=['\"]([^'\"]+)['\"]")
_SENDER: Final = re.compile(rb"\A<iq\b[^>]* from=['\"]([^'\"]+)['\"]")
_DONE: Final = re.compile(rb"\A<iq\b[^>]* id=['\"]done['\"]")


def node_names(count: int) -> list[str]:
    """The nodes of each account."""
    return [f"urn:rookery:bench:{number}" for number in range(count)]


class Capabilities:
    """What a client says of itself: it wants to be told of these nodes. `presence` carries the hash, `answer` what it stands for."""

    def __init__(self, nodes: Iterable[str]) -> None:
        features = sorted([_DISCO, _CAPS, *(f"{node}+notify" for node in nodes)])
        # XEP-0115 section 5.1: identities, then features.
        text = "client/pc//bench<" + "".join(f"{feature}<" for feature in features)
        self.hash = base64.b64encode(hashlib.sha1(text.encode(), usedforsecurity=False).digest()).decode()
        self._about = "".join(f"<feature var='{escape_attr(feature)}'/>" for feature in features)

    def presence(self, xmlns: bytes) -> bytes:
        """Available, with the hash."""
        return f"<presence{xmlns.decode()}><c xmlns='{_CAPS}' hash='sha-1' node='{_CLIENT}' ver='{self.hash}'/></presence>".encode()

    def answer(self, element: bytes, xmlns: bytes) -> bytes:
        """The answer to a request for it."""
        id, sender = _ID.search(element), _SENDER.search(element)
        to = b" to='%b'" % sender[1] if sender is not None else b""
        query = f"<query xmlns='{_DISCO}' node='{_CLIENT}#{self.hash}'><identity category='client' type='pc' name='bench'/>{self._about}</query>"
        return b"<iq%b type='result' id='%b'%b>%b</iq>" % (
            xmlns,
            b"" if id is None else id[1],
            to,
            query.encode(),
        )


class Arrival:
    """One login: which items are awaited, by (account, node); `whole` once all have come and the server was asked for a last word."""

    __slots__ = ("awaited", "began", "came", "intended", "whole")

    def __init__(self, awaited: set[tuple[str, str]], intended: int) -> None:
        self.awaited = awaited
        self.came: set[tuple[str, str]] = set()
        self.intended = intended
        #: When its presence was sent; 0 before.
        self.began = 0
        self.whole = False


class Pep(Acquainted, Rounds):
    """Guests log in anew, one at a time each."""

    operation = "login"
    parts = ("items",)
    summary = "Logins of users whose contacts have PEP nodes: the last items of all of them."

    def __init__(self, driver: Driver) -> None:
        super().__init__(driver)
        self._nodes = node_names(self.plan.nodes)
        self._capabilities = Capabilities(self._nodes)
        self._items = driver.recorder.latency("items")
        self._arrivals: dict[Client, Arrival] = {}
        self._sent = self._delivered = self._lost = self._doubled = 0

    def at_once(self) -> int:
        """As many as the plan says, shared by the processes."""
        return min(max(1, self.plan.concurrency // self.driver.order.of), self.guests())

    def guests(self) -> int:
        """Who logs in: two for each login at once, so that a session has ended before its user is back; the others are enough for the contacts."""
        return max(
            1,
            min(
                2 * self.plan.concurrency // self.driver.order.of,
                len(self.driver.clients) - self.plan.contacts,
            ),
        )

    def takes_part(self, client: Client) -> bool:
        """Guests come first."""
        return self.contacts.guest(client)

    def phases(self) -> Iterable[Phase]:
        """Nodes, then rosters: whoever publishes reads no requests of others meanwhile. ejabberd 23.01 loses nodes that several clients make at once."""
        yield Phase("publishing", self._publish, at_once=1)
        yield from super().phases()

    def _publish(self, client: Client) -> Script:
        """The node of an earlier run, or a new one, with the defaults of the server: for contacts, the last item is kept."""
        item = "<item id='current'><x xmlns='urn:rookery:bench'/></item>"
        publish = [
            f"<pubsub xmlns='{PUBSUB}'><publish node='{escape_attr(node)}'>{item}</publish></pubsub>"
            for node in self._nodes
        ]
        yield from ask_all("publish", "set", publish)

    def one(self, client: Client, intended: int) -> None:
        """End the former session and log in."""
        if client.open:
            client.leave()
            self.driver.recorder.connected -= 1
        people = [client, *self.contacts.of(client)]
        awaited = {(one.session.account.bare, node) for one in people for node in self._nodes}
        self._sent += len(awaited)
        arrival = self._arrivals[client] = Arrival(awaited, intended)
        client.sink = self._sink
        client.tail = b""

        def over(client: Client, condition: str) -> None:
            if condition:
                client.close()
                self._end(client, arrival, condition)
            else:
                self.driver.recorder.connected += 1

        self.driver.start(client, self._script(client, arrival), over)

    def _script(self, client: Client, arrival: Arrival) -> Script:
        yield from self.driver.login_script(client)
        yield from ask("roster", "get", f"<query xmlns='{ns.ROSTER}'/>")
        if self._arrivals.get(client) is not arrival:
            raise ScriptError("timeout")
        arrival.began = self.driver.loop.clock()
        yield Send(self._capabilities.presence(client.xmlns))

    def _sink(self, client: Client, data: bytes) -> None:
        whole, client.tail = split(client.tail + data)
        for element in whole:
            if element.startswith(b"<message"):
                self._told(client, element)
            elif _ASKED.search(element) and _DISCO.encode() in element:
                client.write(self._capabilities.answer(element, client.xmlns))
            elif _DONE.match(element):
                arrival = self._arrivals.get(client)
                if arrival is not None and arrival.whole:
                    self._end(client, arrival, "")
            else:
                self.driver.other(client, element)

    def _told(self, client: Client, element: bytes) -> None:
        """A notification: of an item that is awaited, or once too often."""
        items, sender = _ITEMS.search(element), _FROM.search(element)
        arrival = self._arrivals.get(client)
        if items is None or arrival is None:
            return
        bare = client.session.account.bare if sender is None else unescape(sender[1].decode())
        found = bare, unescape(items[1].decode())
        if found in arrival.came:
            self._doubled += 1
            return
        if found not in arrival.awaited:
            if bare.encode() not in self.contacts.further.get(client, ()):
                self.driver.recorder.error("items", "misdelivered")
            return
        arrival.awaited.discard(found)
        arrival.came.add(found)
        if not arrival.awaited:
            now = self.driver.loop.clock()
            if self._window.first <= arrival.intended < self._window.last:
                self._items.append(now - arrival.began)
            arrival.whole = True
            # What comes twice would come before the answer.
            client.write(b"<iq%b type='get' id='done'><query xmlns='jabber:iq:roster'/></iq>" % client.xmlns)

    def _end(self, client: Client, arrival: Arrival, condition: str) -> None:
        if self._arrivals.get(client) is not arrival:
            return
        del self._arrivals[client]
        self._delivered += len(arrival.came)
        self._lost += len(arrival.awaited)
        self.ended(client, condition, arrival.intended)

    def watch(self, now: int) -> None:
        """End logins whose items do not come."""
        limit = now - int(self.plan.timeout * SECOND)
        for client, arrival in list(self._arrivals.items()):
            if arrival.began and (arrival.began < limit or not client.open):
                self._end(client, arrival, "timeout" if client.open else "closed")

    def messages(self) -> Messages:
        """Items: what logins under way still await is not lost yet."""
        open_ = sum(len(one.awaited) for one in self._arrivals.values())
        came = sum(len(one.came) for one in self._arrivals.values())
        return Messages(
            sent=self._sent,
            delivered=self._delivered + came,
            lost=self._lost + open_,
            duplicated=self._doubled,
        )


SCENARIO = Pep
