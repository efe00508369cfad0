"""Publications to nodes of a service (XEP-0060 section 7.1): one request in, a notification for each subscriber out.

Each driver process has one node at `pubsub.DOMAIN`: its first user makes it anew and publishes, the others are subscribed. An operation is one
notification. Closed loop: one publication is outstanding for each node, until its last subscriber was told; open loop: at intended times. Exact for each
subscriber: what was lost, came twice or out of order. `publish` is the time until the publisher has its answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from rookery.bench.driver.client import Client
from rookery.bench.driver.driver import Driver
from rookery.bench.driver.flow import Flow, messages
from rookery.bench.driver.scan import ERROR, MARK_FORMAT, cut, error_condition
from rookery.bench.driver.script import Script, ScriptError, ask
from rookery.bench.plan import MARK_BYTES, Plan, PlanError
from rookery.bench.result import Messages
from rookery.bench.scenarios._scenario import Phase, Window
from rookery.bench.scenarios._turns import Turns
from rookery.shared.xmpp.xml import escape_attr

NS: Final = "http://jabber.org/protocol/pubsub"
_OPEN: Final = b"<message"
_CLOSE: Final = b"</message>"
_ANSWER: Final = re.compile(rb"\A<iq\b[^>]* id=['\"]p([0-9]+)['\"]")
#: Nothing waits for those who are away, and nobody is told of the node when it subscribes.
_SETTINGS: Final = {
    "access_model": "open",
    "persist_items": "1",
    "max_items": "1",
    "send_last_published_item": "never",
    "notification_type": "headline",
}


def _form() -> str:
    fields = "".join(
        f"<field var='pubsub#{name}'><value>{value}</value></field>" for name, value in _SETTINGS.items()
    )
    return (
        "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'>"
        f"<value>{NS}#node_config</value></field>{fields}</x>"
    )


class Publisher:
    """A node and who publishes to it; `settled` counts notifications that came."""

    def __init__(self, sender: Client, subscribers: list[Client]) -> None:
        self.sender = sender
        self.index = sender.session.account.index
        self.flows = {client: Flow() for client in subscribers}
        self.sent = 0
        self.left = 0
        self.settled = 0
        #: Intended times of publications without an answer.
        self.asked: dict[int, int] = {}

    @property
    def outstanding(self) -> int:
        """Notifications that are awaited, or lost."""
        return self.sent * len(self.flows) - self.settled


class Pubsub(Turns[Publisher]):
    """Each notification of a subscriber counts."""

    operation = "pubsub"
    parts = ("publish",)
    summary = "Publications to a node whose subscribers are all online: fan-out of notifications."
    who = "publishers"
    opening = _OPEN

    def __init__(self, driver: Driver) -> None:
        super().__init__(driver)
        plan = driver.plan
        self._service = f"pubsub.{plan.domain}"
        self._node = f"bench{plan.seed}-{driver.order.number}"
        self._publisher: Publisher | None = None
        self._window = Window(0, 0, 0)
        self._latency = driver.recorder.latency("pubsub")
        self._answers = driver.recorder.latency("publish")
        self._tail = b"x" * (plan.body - MARK_BYTES)

    @classmethod
    def check(cls, plan: Plan) -> None:
        """Each process needs somebody to tell. Raises PlanError."""
        super().check(plan)
        if plan.users // plan.processes < 2:
            raise PlanError("a publisher and a subscriber need 2 users in each process")

    @classmethod
    def endings(cls, plan: Mapping[str, Any]) -> float:
        """One for each subscriber."""
        return float(plan["users"] / plan["processes"] - 1)

    def phases(self) -> Iterable[Phase]:
        """The node is made anew, then the others subscribe: nobody is subscribed twice."""
        first = self.driver.clients[:1]
        yield Phase("making nodes", lambda client: self._make() if client in first else None)
        yield Phase("subscribing", lambda client: None if client in first else self._subscribe(client))

    def _make(self) -> Script:
        node = escape_attr(self._node)
        try:
            delete = f"<pubsub xmlns='{NS}#owner'><delete node='{node}'/></pubsub>"
            yield from ask("delete", "set", delete, self._service)
        except ScriptError as error:
            if error.condition != "item-not-found":
                raise
        create = f"<create node='{node}'/><configure>{_form()}</configure>"
        yield from ask("create", "set", f"<pubsub xmlns='{NS}'>{create}</pubsub>", self._service)

    def _subscribe(self, client: Client) -> Script:
        jid = escape_attr(client.session.account.bare)
        wanted = f"<subscribe node='{escape_attr(self._node)}' jid='{jid}'/>"
        yield from ask("subscribe", "set", f"<pubsub xmlns='{NS}'>{wanted}</pubsub>", self._service)

    def begin(self, window: Window) -> None:
        """Publish once, or begin the pace."""
        self._window = window
        clients = [client for client in self.driver.clients if client.open]
        first = self.driver.clients[0]
        if first.open:
            self._publisher = Publisher(first, [client for client in clients if client is not first])
        for client in clients:
            client.sink = self._sink
        self.load([] if self._publisher is None else [self._publisher], window)

    def send(self, turn: Publisher, intended: int) -> None:
        """One publication."""
        number = turn.sent
        turn.sent = number + 1
        turn.left = len(turn.flows)
        turn.asked[number] = intended
        self.driver.recorder.sent += 1
        mark = MARK_FORMAT % (turn.index, number, intended)
        turn.sender.write(
            b"<iq%b type='set' to='%b' id='p%d'><pubsub xmlns='%b'><publish node='%b'><item id='now'>"
            b"<x xmlns='urn:rookery:bench'>%b%b</x></item></publish></pubsub></iq>"
            % (
                turn.sender.xmlns,
                self._service.encode(),
                number,
                NS.encode(),
                escape_attr(self._node).encode(),
                mark,
                self._tail,
            )
        )

    def _sink(self, client: Client, data: bytes) -> None:
        if client.tail:
            data = client.tail + data
            client.tail = b""
        marks, rest = cut(data, _OPEN, _CLOSE)
        if rest:
            marks = marks + self.careful(client, rest)
        publisher = self._publisher
        if not marks or publisher is None:
            return
        recorder, now = self.driver.recorder, self.driver.loop.clock()
        begin, first, last = self._window
        flow = publisher.flows.get(client)
        for sender, sequence, time in marks:
            intended, number = int(time, 16), int(sequence, 16)
            if intended < begin:
                continue  # of an earlier run
            if flow is None or int(sender, 16) != publisher.index:
                recorder.error("pubsub", "misdelivered")
                continue
            if number == flow.expected:
                flow.expected = number + 1
            elif not flow.strange(number):
                continue
            recorder.delivered += 1
            publisher.settled += 1
            if first <= intended < last:
                self._latency.append(now - intended)
            if number + 1 == publisher.sent and publisher.left > 0:
                publisher.left -= 1
                if not publisher.left:
                    self.again(publisher, number, now)

    def strange(self, client: Client, element: bytes) -> None:
        """Perhaps the answer to a publication."""
        found = _ANSWER.match(element)
        publisher = self._publisher
        if found is None or publisher is None or client is not publisher.sender:
            self.driver.other(client, element)
            return
        number, now = int(found[1]), self.driver.loop.clock()
        intended = publisher.asked.pop(number, None)
        if intended is None:
            return
        if not ERROR.match(element):
            if self._window.first <= intended < self._window.last:
                self._answers.append(now - intended)
            return
        self.driver.recorder.error("pubsub", error_condition(element))
        for flow in publisher.flows.values():
            flow.sent = publisher.sent
            publisher.settled += flow.refuse(number)
        if number + 1 == publisher.sent and publisher.left:
            publisher.left = 0
            self.again(publisher, number, now)

    def messages(self) -> Messages:
        """Notifications: `sent` counts one for each subscriber."""
        if self._publisher is None:
            return Messages()
        for flow in self._publisher.flows.values():
            flow.sent = self._publisher.sent
        return messages(self._publisher.flows.values())


SCENARIO = Pubsub
