"""Stream management (XEP-0198): the connection is cut without a word, and the session goes on in a new one.

Everybody at once (storm), at a rate, or in a closed loop. A session that the server no longer knows counts as an error
(`item-not-found`), and its user takes no further part.
"""

from __future__ import annotations

import re
from typing import ClassVar, Final

from rookery.bench.driver.client import Client
from rookery.bench.driver.login import authenticate, first_stream, open_stream
from rookery.bench.driver.scan import split
from rookery.bench.driver.script import Note, Script, ScriptError, Send, condition_of, receive
from rookery.bench.scenarios._rounds import Rounds
from rookery.shared.xmpp.xml import escape_attr

SM: Final = "urn:xmpp:sm:3"
_COUNTED: Final = re.compile(rb"\A<(?:message|presence|iq)[\s/>]")


class Managed:
    """What a client keeps of its session: id for resumption, stanzas handled (XEP-0198 section 4)."""

    __slots__ = ("handled", "id")

    def __init__(self, id: str) -> None:
        self.id = id
        self.handled = 0


class Resume(Rounds):
    """`resume` lasts from the cut to `<resumed/>`."""

    operation = "resume"
    parts: ClassVar[tuple[str, ...]] = ("connect", "tls", "auth")
    summary = "XEP-0198: cut connections and resume them, at a rate, closed loop, or as a storm."

    def at_once(self) -> int:
        """As many as the plan says, shared by the processes."""
        return max(1, self.plan.concurrency // self.driver.order.of)

    def setup(self, client: Client) -> Script:
        """Enable stream management with resumption."""
        yield Send(f"<enable xmlns='{SM}' resume='true'/>".encode())
        while True:
            answer = yield from receive()
            if answer.ns == SM and answer.name == "failed":
                raise ScriptError(condition_of(answer))
            if answer.ns == SM and answer.name == "enabled":
                if answer.get("resume") not in ("true", "1") or not answer.get("id"):
                    raise ScriptError("no-resumption")
                client.hold = Managed(answer.get("id") or "")
                return

    def listen(self, client: Client, data: bytes) -> None:
        """Count what was handled, and say so when asked."""
        managed: Managed | None = client.hold
        whole, client.tail = split(client.tail + data)
        for element in whole:
            if managed is not None and _COUNTED.match(element):
                managed.handled += 1
                self.driver.other(client, element)
            elif managed is not None and element.startswith(b"<r") and SM.encode() in element:
                client.write(f"<a xmlns='{SM}' h='{managed.handled % (1 << 32)}'/>".encode())
            else:
                self.driver.other(client, element)

    def one(self, client: Client, intended: int) -> None:
        """Cut and resume."""
        client.close()
        managed: Managed = client.hold

        def over(client: Client, condition: str) -> None:
            recorder = self.driver.recorder
            if self._window.first <= intended < self._window.last:
                for operation, spent in client.marks.items():
                    if operation != self.operation:
                        recorder.latency(operation).append(spent)
            if condition and client.open:
                client.close()
            if condition:
                recorder.connected -= 1
            self.ended(client, condition, intended)

        self.driver.start(client, self._script(client, managed), over)

    def _script(self, client: Client, managed: Managed) -> Script:
        driver = self.driver
        features = yield from first_stream(driver.target.starttls)
        yield from authenticate(client.session.account, self.plan.mechanism, features, driver.keys)
        yield from open_stream()
        yield Note("auth")
        previous = escape_attr(managed.id)
        yield Send(f"<resume xmlns='{SM}' h='{managed.handled % (1 << 32)}' previd='{previous}'/>".encode())
        answer = yield from receive()
        if answer.ns != SM or answer.name != "resumed":
            raise ScriptError(condition_of(answer))
        yield Note("resume")


SCENARIO = Resume
