"""Pairs of clients that exchange numbered messages and requests while something breaks, and a checker of what became of them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from xml.etree.ElementTree import ParseError

import trio
from tests.cluster.harness import Cluster
from tests.stories.client import Client, LoginError, StreamEndError

_GONE = (StreamEndError, OSError, LoginError, trio.BrokenResourceError, trio.TooSlowError, ParseError)


@dataclass(slots=True)
class Pair:
    """What happened between two accounts. Times are those of trio's clock."""

    sender: tuple[str, str]
    receiver: tuple[str, str]
    #: When number n was sent (the write returned), and each time that it came.
    sent: dict[int, float] = field(default_factory=dict)
    came: list[tuple[int, float]] = field(default_factory=list)
    bounced: dict[int, float] = field(default_factory=dict)
    #: Requests: when asked, and (when, type) of the answer.
    asked: dict[str, float] = field(default_factory=dict)
    answered: dict[str, tuple[float, str]] = field(default_factory=dict)
    reconnects: list[float] = field(default_factory=list)
    failed_logins: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """The checker's counts for a span of time."""

    sent: int
    lost: int
    duplicated: int
    reordered: int
    bounced: int
    reconnects: int
    failed_logins: int
    requests: int
    request_errors: int
    unanswered: int
    #: Seconds: the longest wait for a message and for an answer, and the median delay of a message.
    worst_message: float
    worst_answer: float
    median: float


class Traffic:
    """Runs the pairs in a nursery until `stop`."""

    def __init__(self, cluster: Cluster, accounts: Sequence[tuple[str, str]], *, interval: float) -> None:
        self._cluster = cluster
        self._interval = interval
        self.pairs = [Pair(*two) for two in zip(accounts[::2], accounts[1::2], strict=True)]
        self._stopping = trio.Event()
        self._sending = trio.Event()
        self._up = 0
        self._all_up = trio.Event()

    async def run(self, nursery: trio.Nursery) -> None:
        """Start all pairs and return when all receivers are online."""
        for index, pair in enumerate(self.pairs):
            nursery.start_soon(self._receive, pair, index)
            if index % 10 == 9:
                await trio.sleep(0.1)
        with trio.fail_after(120):
            await self._all_up.wait()
        for index, pair in enumerate(self.pairs):
            nursery.start_soon(self._send, pair, index)

    async def stop(self, quiet: float = 5.0, limit: float = 60.0) -> None:
        """Send no more, and wait until nothing has come for `quiet` seconds or all has."""
        self._sending.set()
        deadline = trio.current_time() + limit
        last, since = -1, trio.current_time()
        while trio.current_time() < deadline:
            count = sum(len(pair.came) + len(pair.bounced) + len(pair.answered) for pair in self.pairs)
            if count != last:
                last, since = count, trio.current_time()
            waiting = any(set(pair.asked) - set(pair.answered) for pair in self.pairs)
            missing = any(
                set(pair.sent) - {n for n, _ in pair.came} - set(pair.bounced) for pair in self.pairs
            )
            if not waiting and (not missing or trio.current_time() - since > quiet):
                break
            if trio.current_time() - since > 35:
                break
            await trio.sleep(0.1)
        self._stopping.set()

    async def _login(self, account: tuple[str, str], pair: Pair, edge: int) -> Client:
        while True:
            client = None
            try:
                with trio.fail_after(20):
                    client = Client(self._cluster.endpoint(edge), "localhost")
                    await client.login(*account)
                    await client.send("<presence/>")
                    await client.receive()
                return client
            except _GONE:
                pair.failed_logins += 1
                edge += 1
                if client is not None:
                    await client.drop()
                await trio.sleep(0.2)

    async def _receive(self, pair: Pair, index: int) -> None:
        edge = index
        while not self._stopping.is_set():
            client = await self._login(pair.receiver, pair, edge)
            self._up += 1
            if self._up == len(self.pairs):
                self._all_up.set()
            try:
                while not self._stopping.is_set():
                    with trio.move_on_after(0.5):
                        node = await client.receive(math.inf)
                        if node.tag == "{jabber:client}message" and node.get("type") == "chat":
                            pair.came.append((int(node.get("id", "")), trio.current_time()))
            except _GONE:
                pair.reconnects.append(trio.current_time())
                edge += 1
            finally:
                await client.drop()

    async def _send(self, pair: Pair, index: int) -> None:
        edge, number = index + 1, 0
        await trio.sleep(self._interval * (index % 10) / 10)
        while not self._stopping.is_set():
            client = await self._login(pair.sender, pair, edge)
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._answers, client, pair, nursery.cancel_scope)
                    while not self._stopping.is_set():
                        if not self._sending.is_set():
                            number += 1
                            await self._speak(client, pair, number)
                        await trio.sleep(self._interval)
                    nursery.cancel_scope.cancel()
                if not self._stopping.is_set():
                    raise StreamEndError
            except* _GONE:
                pair.reconnects.append(trio.current_time())
                edge += 1
            finally:
                await client.drop()

    async def _speak(self, client: Client, pair: Pair, number: int) -> None:
        to = f"{pair.receiver[0]}@localhost"
        await client.send(f"<message type='chat' to='{to}' id='{number}'><body>{number}</body></message>")
        pair.sent[number] = trio.current_time()
        if number % 2 == 0:
            id = f"{client.jid}-{number}"
            query = _QUERIES[number // 2 % len(_QUERIES)].format(to=to)
            pair.asked[id] = (
                trio.current_time()
            )  # before the write: the answer may come while this task waits
            await client.send(query.replace("<iq", f"<iq type='get' id='{id}'", 1))

    async def _answers(self, client: Client, pair: Pair, scope: trio.CancelScope) -> None:
        try:
            while True:
                node = await client.receive(math.inf)
                id, now = node.get("id", ""), trio.current_time()
                if node.tag == "{jabber:client}iq" and id in pair.asked:
                    pair.answered[id] = (now, node.get("type", ""))
                elif node.tag == "{jabber:client}message" and node.get("type") == "error":
                    pair.bounced[int(id)] = now
        except _GONE:
            # A request asked on a stream that has ended is nobody's any more.
            for id in set(pair.asked) - set(pair.answered):
                del pair.asked[id]
            scope.cancel()

    # -- the checker -----------------------------------------------------------------------------------------------

    def verdict(self, since: float = -math.inf) -> Verdict:
        """Judge what was sent from `since` on, up to the end."""
        delays: list[float] = []
        lost = duplicated = reordered = bounced = sent = 0
        answers: list[float] = []
        unanswered = errors = requests = 0
        for pair in self.pairs:
            mine = {number: when for number, when in pair.sent.items() if when >= since}
            sent += len(mine)
            first: dict[int, float] = {}
            highest = 0
            for number, when in pair.came:
                if number in first:
                    duplicated += number in mine
                    continue
                first[number] = when
                reordered += number in mine and number < highest
                highest = max(highest, number)
            lost += sum(number not in first and number not in pair.bounced for number in mine)
            bounced += sum(number in pair.bounced for number in mine)
            delays += [first[number] - when for number, when in mine.items() if number in first]
            for id, when in pair.asked.items():
                if when < since:
                    continue
                requests += 1
                if id in pair.answered:
                    answers.append(pair.answered[id][0] - when)
                    errors += pair.answered[id][1] == "error"
                else:
                    unanswered += 1
        return Verdict(
            sent=sent,
            lost=lost,
            duplicated=duplicated,
            reordered=reordered,
            bounced=bounced,
            reconnects=sum(when >= since for pair in self.pairs for when in pair.reconnects),
            failed_logins=sum(pair.failed_logins for pair in self.pairs),
            requests=requests,
            request_errors=errors,
            unanswered=unanswered,
            worst_message=max(delays, default=0.0),
            worst_answer=max(answers, default=0.0),
            median=statistics.median(delays) if delays else 0.0,
        )

    def missing(self) -> Iterator[tuple[str, int]]:
        """(receiver, number) of what was sent and never came."""
        for pair in self.pairs:
            came = {number for number, _ in pair.came} | set(pair.bounced)
            yield from ((pair.receiver[0], number) for number in pair.sent if number not in came)


_QUERIES = (
    "<iq><query xmlns='jabber:iq:roster'/></iq>",
    "<iq to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>",
    "<iq><vCard xmlns='vcard-temp'/></iq>",
    "<iq to='{to}'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
    "<iq><blocklist xmlns='urn:xmpp:blocking'/></iq>",
    "<iq to='{to}'><vCard xmlns='vcard-temp'/></iq>",
)
