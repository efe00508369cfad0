"""Catch-up from the archive (XEP-0313): every page of a user's archive, one after the other.

The archives are filled before the load by messages between partners, up to `archive` messages each; what is there already
counts. A catch-up is one operation (`mam`), each page another (`page`). Delivered are the messages of the pages; lost are those
that the archive counts and the pages did not have.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from rookery.bench.driver.client import Client
from rookery.bench.driver.driver import SECOND, Driver
from rookery.bench.driver.scan import error_condition
from rookery.bench.driver.script import Script, Send, ask
from rookery.bench.result import Messages
from rookery.bench.scenarios._rounds import Rounds
from rookery.bench.scenarios._scenario import Phase, Window
from rookery.shared.xmpp.xml import escape_attr

MAM: Final = "urn:xmpp:mam:2"
RSM: Final = "http://jabber.org/protocol/rsm"
_LAST: Final = re.compile(rb"<last>([^<]*)</last>")
_COUNT: Final = re.compile(rb"<count>(\d{1,9})</count>")
_COMPLETE: Final = re.compile(rb"<fin\b[^>]* complete=['\"](?:true|1)['\"]")
#: The end of a page: the result of the query, or an error.
_END: Final = re.compile(rb"</fin></iq>|<fin\b[^>]*/></iq>|</error></iq>")
_RESULT: Final = b"<forwarded"


class Page:
    """The page that a client is reading."""

    __slots__ = ("began", "chunks", "intended", "messages")

    def __init__(self, intended: int) -> None:
        self.intended = intended
        self.began = intended
        self.chunks: list[bytes] = []
        #: Messages of this catch-up so far.
        self.messages = 0


class Mam(Rounds):
    """Pages are recognised by their end, without a look at each message."""

    operation = "mam"
    parts = ("page",)
    summary = "XEP-0313 catch-up: the whole archive of a user, page by page."

    def __init__(self, driver: Driver) -> None:
        super().__init__(driver)
        self._page = driver.recorder.latency("page")
        self._counted = self._delivered = 0
        #: Messages of the largest archive before it was filled.
        self._largest = 0

    def at_once(self) -> int:
        """As many as the plan says, shared by the processes."""
        return max(1, self.plan.concurrency // self.driver.order.of)

    def phases(self) -> Iterable[Phase]:
        """Archives."""
        yield Phase("filling archives", self._fill)

    def _fill(self, client: Client) -> Script | None:
        clients = self.driver.clients
        place = client.session.account.index - clients[0].session.account.index
        if place % 2 or place + 1 >= len(clients):
            return None
        to = escape_attr(clients[place + 1].session.account.bare).encode()
        body = b"x" * self.plan.body

        def script() -> Script:
            fin = yield from ask("count", "set", _query("", 0))
            found = fin.find(MAM, "fin")
            rsm = None if found is None else found.find(RSM, "set")
            count = None if rsm is None else rsm.find_text(RSM, "count")
            self._largest = max(self._largest, int(count or 0))
            for number in range(int(count or 0), self.plan.archive):
                yield Send(
                    b"<message%b to='%b' type='chat' id='f%d'><body>%b</body></message>"
                    % (client.xmlns, to, number, body)
                )
                if number % 50 == 49:
                    yield from ask(f"fill{number}", "get", "<ping xmlns='urn:xmpp:ping'/>")
            yield from ask("filled", "get", "<ping xmlns='urn:xmpp:ping'/>")

        return script()

    def begin(self, window: Window) -> None:
        """Begin as the plan says."""
        if self._largest > self.plan.archive:
            self.driver.notes.append(
                f"archives hold up to {self._largest} messages, not {self.plan.archive}, and are read whole: use other users"
            )
        super().begin(window)

    def one(self, client: Client, intended: int) -> None:
        """Ask for the first page."""
        client.hold = Page(intended)
        client.sink = self._sink
        self._ask(client, b"")

    def _ask(self, client: Client, after: bytes) -> None:
        client.hold.began = self.driver.loop.clock()
        client.write(
            b"<iq%b type='set' id='page'>%b</iq>"
            % (
                client.xmlns,
                _query(f"<after>{after.decode()}</after>" if after else "", self.plan.page).encode(),
            )
        )

    def _sink(self, client: Client, data: bytes) -> None:
        page: Page | None = client.hold
        if page is None:
            self.driver.passive(client, data)
            return
        chunks = page.chunks
        chunks.append(data)
        before = chunks[-2][-64:] if len(chunks) > 1 else b""
        if _END.search(before + data) is None:
            return
        whole = b"".join(chunks)
        chunks.clear()
        now = self.driver.loop.clock()
        end = whole[whole.rfind(b"<iq") :]
        if b"</error></iq>" in end:
            client.hold = None
            self.ended(client, error_condition(end), page.intended)
            return
        found = whole.count(_RESULT)
        page.messages += found
        self.driver.recorder.delivered += found
        if self._window.first <= page.began < self._window.last:
            self._page.append(now - page.began)
        last = _LAST.search(end)
        if last is None or _COMPLETE.search(end):
            client.hold = None
            # Servers need not count (XEP-0059 section 2.6).
            count = _COUNT.search(end)
            self._counted += int(count[1]) if count is not None else page.messages
            self._delivered += page.messages
            self.driver.recorder.delivered -= 1  # `ended` counts the operation, the messages are counted
            self.ended(client, "", page.intended)
        else:
            self._ask(client, last[1])

    def watch(self, now: int) -> None:
        """End catch-ups that are not answered."""
        limit = now - int(self.plan.timeout * SECOND)
        for client in self.driver.clients:
            page: Page | None = client.hold
            if page is not None and (page.began < limit or not client.open):
                client.hold = None
                condition = "timeout" if client.open else "closed"
                client.close()
                self.ended(client, condition, page.intended)

    def messages(self) -> Messages:
        """Messages of whole catch-ups."""
        return Messages(self._counted, self._delivered, max(0, self._counted - self._delivered))


def _query(after: str, most: int) -> str:
    return f"<query xmlns='{MAM}' queryid='q'><set xmlns='{RSM}'><max>{most}</max>{after}</set></query>"


SCENARIO = Mam
