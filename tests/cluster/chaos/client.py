"""One client that follows XEP-0198 to the letter: counts, queues, acknowledges, resumes on whatever edge it finds."""

from __future__ import annotations

import base64
from collections import deque
from typing import Final, NamedTuple
from xml.etree.ElementTree import Element

from tests.cluster.chaos.inside import Inside
from tests.cluster.chaos.ledger import Got, Message, Request
from tests.cluster.chaos.loop import Timer
from tests.cluster.chaos.publishing import Publishing
from tests.cluster.chaos.rooms import Fate
from tests.cluster.chaos.stream import DOMAIN, Stream
from tests.cluster.chaos.wire import CLIENT, SM, local
from tests.cluster.chaos.world import World

#: The client asks for an acknowledgement after so many stanzas, or so many seconds.
ASK_STANZAS: Final = 5
ASK_SECONDS: Final = 0.5
#: It acknowledges by itself after so many stanzas.
TELL_STANZAS: Final = 10
#: A client whose acknowledgement does not come in this time gives its connection up.
DEAD_SECONDS: Final = 40.0
_MODULO: Final = 2**32
_IQ = f"{{{CLIENT}}}iq"
_MESSAGE = f"{{{CLIENT}}}message"
_PRESENCE = f"{{{CLIENT}}}presence"


class Pending(NamedTuple):
    """A stanza that the server has not acknowledged."""

    seq: int
    data: bytes
    message: Message | Fate | None


class Chain:
    """One session over all its resumptions: the state that XEP-0198 asks for."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.previd = ""
        self.received = 0
        self.told = 0
        self.sent = 0
        self.acked = 0
        self.queue: deque[Pending] = deque()


class Client:
    """See the module's text. `index ^ 1` is its peer; `user` and `peer` are localparts, or bare JIDs where there are several domains."""

    def __init__(
        self,
        world: World,
        index: int,
        user: str,
        password: str,
        peer: str,
        rooms: tuple[int, ...] = (),
        publishers: tuple[int, ...] = (),
    ) -> None:
        self._world = world
        self.index = index
        self.jid, self.peer = (one if "@" in one else f"{one}@{DOMAIN}" for one in (user, peer))
        localpart, _, self.domain = self.jid.partition("@")
        self._secret = base64.b64encode(f"\0{localpart}\0{password}".encode()).decode()
        self.chain: Chain | None = None
        self.stream: Stream | None = None
        self.up = False
        self.broke = 0.0
        self.full = ""
        self.resumes = 0
        self.attempts = 0
        self.stopped = False
        #: Neither reads nor writes: a device in a tunnel.
        self.silent = False
        self._n = 0
        self._q = 0
        self._ask: Timer | None = None
        self._asked_at = 0.0
        self._asked = False
        self.refusals: list[str] = []
        self.inside = Inside(self, world, rooms)
        self.press = Publishing(self, world, index in publishers, publishers)
        #: Since when it is connected without a break.
        self.up_since = 0.0
        #: Whom the session `seen_chain` sees in which room.
        self.seen: dict[int, set[int]] = {}
        self.seen_chain = 0

    # --- the connection ---

    def connect(self) -> None:
        """Try some edge."""
        if self.stopped:
            return
        port = self._world.port()
        if not port:
            self._again()
            return
        self.attempts += 1
        self.stream = Stream(self, self._world, port, self._secret)

    def _again(self) -> None:
        delay = self._world.rng.uniform(0.05, 0.5) * min(8, 1 + self.attempts)
        self._world.loop.after(delay, self.connect)

    def lost(self, stream: Stream, why: str) -> None:
        """A connection of this client has ended."""
        if stream is not self.stream or self.stopped:
            return
        if self.up:
            self.broke = self._world.loop.now
        elif why:
            self.refusals.append(why)
        self.stream = None
        self.up = False
        self._asked = False
        if self.chain is not None and (not self._world.managed or not self.chain.previd):
            self.abandon()
        self._again()

    def abandon(self, *, left: bool = False) -> None:
        """The session cannot be resumed; `left`: the client has closed it."""
        chain, self.chain = self.chain, None
        if chain is not None:
            void = [one.message for one in chain.queue if isinstance(one.message, Message)]
            self._world.ledger.abandoned(void, self.index, chain.number, left=left)
            self._world.rooms.ended(self.index, chain.number, self._world.loop.now)
            self._world.press.ended(chain.number, self._world.loop.now)

    def bound(self, full: str) -> None:
        """A resource is bound: a new session begins."""
        self.full = full
        self.chain = Chain(self._world.ledger.chain())

    def ready(self) -> None:
        """The stream can be used."""
        self.up = True
        self.attempts = 0
        self.up_since = self._world.loop.now
        self._world.ledger.connected(self.index, self._world.loop.now)
        if self.chain is not None and self.chain.sent == 0:
            self.send(self.press.presence())
            self.inside.enter()
            self.press.begin()

    def resumed(self, h: int) -> None:
        """The server has handled `h` stanzas of the session; everything above is sent again, in order."""
        self.resumes += 1
        self._world.resumed(self, self._world.loop.now - self.broke)
        chain = self.chain
        assert chain is not None
        assert self.stream is not None
        self.acknowledged(h, "resumed")
        for one in chain.queue:
            self._count(one.message)
            self.stream.write(one.data)
        chain.told = chain.received
        self.up = True
        self.up_since = self._world.loop.now
        self.attempts = 0
        self._world.ledger.connected(self.index, self._world.loop.now)
        if chain.queue:
            self._ask_now()

    # --- stream management ---

    def acknowledged(self, h: int, how: str) -> None:
        """`<a h>` or `<resumed h>`."""
        chain = self.chain
        assert chain is not None
        ledger, now = self._world.ledger, self._world.loop.now
        new = (h - chain.acked) % _MODULO
        if new > len(chain.queue):
            what = "lower than before" if new > _MODULO // 2 else "higher than what was sent"
            ledger.violation(now, self.index, f"{how} h={h} is {what}: {chain.acked}..{chain.sent}")
            return
        for _ in range(new):
            one = chain.queue.popleft()
            if one.message is not None:
                one.message.acked = now
        chain.acked = h

    def _count(self, message: Message | Fate | None) -> None:
        if isinstance(message, Message):
            message.written += 1
        elif message is not None:
            message.written = self._world.loop.now

    def send(self, data: bytes, message: Message | Fate | None = None) -> None:
        """Send a stanza, or queue it for the resumption."""
        self._queue(data, message)
        self._written(data, message)

    def _queue(self, data: bytes, message: Message | Fate | None) -> None:
        chain = self.chain
        assert chain is not None
        chain.sent = (chain.sent + 1) % _MODULO
        if self._world.managed or message is not None:
            chain.queue.append(Pending(chain.sent, data, message))

    def _written(self, data: bytes, message: Message | Fate | None) -> None:
        if self.up and self.stream is not None:
            assert self.chain is not None
            self._count(message)
            self.stream.write(data)
            if self._world.managed:
                if len(self.chain.queue) % ASK_STANZAS == 0:
                    self._ask_now()
                elif self._ask is None:
                    self._ask = self._world.loop.after(ASK_SECONDS, self._ask_now)

    def _ask_now(self) -> None:
        if self._ask is not None:
            self._ask.cancel()
            self._ask = None
        if self.up and self.stream is not None and self.chain is not None and self.chain.queue:
            if not self._asked:
                self._asked = True
                self._asked_at = self._world.loop.now
            self.stream.write(f"<r xmlns='{SM}'/>".encode())
            self._ask = self._world.loop.after(ASK_SECONDS, self._ask_later)

    def _ask_later(self) -> None:
        """Something is still not acknowledged: ask again, and give a dead connection up."""
        self._ask = None
        if not self._asked and self.chain is not None and self.chain.queue:
            self._ask_now()
        elif self._asked and self.stream is not None:
            if self._world.loop.now - self._asked_at > DEAD_SECONDS and not self.silent:
                self._world.ledger.violation(
                    self._world.loop.now, self.index, f"no answer to <r/> for {DEAD_SECONDS} s"
                )
                self.stream.close("no answer to <r/>")
            else:
                self._ask = self._world.loop.after(ASK_SECONDS, self._ask_later)

    def tell(self) -> None:
        """Acknowledge what has come."""
        if self.chain is not None and self.stream is not None:
            self.chain.told = self.chain.received
            self.stream.write(f"<a xmlns='{SM}' h='{self.chain.received}'/>".encode())

    # --- what faults do with it ---

    def silence(self, on: bool) -> None:
        """Neither read nor write, or go on."""
        self.silent = on
        if self.stream is not None:
            self.stream.silence(on)

    def steal(self) -> None:
        """Open another connection and resume there; the old one stays open and is not read any more."""
        old = self.stream
        if old is None or self.chain is None or not self.chain.previd:
            return
        self.up = False
        self.broke = self._world.loop.now
        self.stream = None
        old.silence(True)
        self._world.loop.after(30, lambda: old.close(""))
        self.connect()

    def leave(self) -> None:
        """Close the stream in order: the session ends. What is not acknowledged is nobody's promise any more."""
        self.stopped = True
        self.up = False
        if self.stream is not None:
            self.stream.end()
        self.abandon(left=True)

    def come_back(self) -> None:
        """Log in again after `leave`."""
        self.stopped = False
        self.connect()

    # --- traffic ---

    def next_message(self) -> bytes:
        """Queue the next message to the peer without writing it."""
        assert self.chain is not None
        self._n += 1
        message = self._world.ledger.sent(self.index, self._n, self.chain.number, self._world.loop.now)
        data = f"<message to='{self.peer}' type='chat' id='m{self._n}'><body>{message.name}</body></message>"
        self._queue(data.encode(), message)
        return data.encode()

    def _begun(self) -> bool:
        """Whether there is a session that counts: what is queued between binding and enabling would never be written."""
        return self.chain is not None and (self.up or bool(self.chain.previd))

    def talk(self) -> None:
        """The next message to the peer."""
        if self.chain is not None and self._begun():
            data = self.next_message()
            self._written(data, self.chain.queue[-1].message)

    def speak(self, room: int) -> None:
        """The next message to a room, once it is in."""
        if self.chain is not None and self._begun() and self.inside.inside(room) is not None:
            self.send(*self.inside.next_message(room))

    def publish(self) -> None:
        """The next item of its nodes."""
        if self.chain is not None and self._begun():
            self.press.publish()

    def ask(self) -> None:
        """A request: to the server, for the roster, or to the peer's resource."""
        if self.chain is None or not self._begun():
            return
        self._q += 1
        id = f"q{self._q}"
        way = self._q % 3
        to = (f" to='{self.domain}'", "", f" to='{self.peer}/r'")[way]
        payload = "<query xmlns='jabber:iq:roster'/>" if way == 1 else "<ping xmlns='urn:xmpp:ping'/>"
        self._world.ledger.requests[(self.index, id)] = Request(self.chain.number, self._world.loop.now)
        self.send(f"<iq type='get' id='{id}'{to}>{payload}</iq>".encode())

    def handle(self, element: Element) -> None:
        """Something came on a stream that is up."""
        tag = element.tag
        if tag == f"{{{SM}}}r":
            self.tell()
            return
        if tag == f"{{{SM}}}a":
            if self.chain is None:
                return
            self._asked = False
            self.acknowledged(int(element.get("h", "")), "a")
            return
        if tag not in (_IQ, _MESSAGE, _PRESENCE):
            return
        chain = self.chain
        if chain is None:
            return  # it has left; what still comes is not acknowledged, so it is owed
        chain.received = (chain.received + 1) % _MODULO
        if tag == _MESSAGE:
            self._message(chain, element)
        elif tag == _IQ:
            self._iq(element)
        else:
            self.inside.presence(element)
        if self._world.managed and (chain.received - chain.told) % _MODULO >= TELL_STANZAS:
            self.tell()

    def _message(self, chain: Chain, element: Element) -> None:
        if self.inside.message(element) or self.press.message(element):
            return
        ledger, now = self._world.ledger, self._world.loop.now
        if element.get("type") == "error":
            error = element.find(f"{{{CLIENT}}}error")
            condition = local(error[0]) if error is not None and len(error) else ""
            ledger.bounced(self.index, int(element.get("id", "m0")[1:]), now, condition)
            return
        body = element.findtext(f"{{{CLIENT}}}body")
        if body is None:
            ledger.others["message"] = ledger.others.get("message", 0) + 1
            return
        sender, n = body.strip().split(":")
        delayed = element.find("{urn:xmpp:delay}delay") is not None
        ledger.got(self.index, int(sender), int(n), Got(now, chain.number, delayed))

    def _iq(self, element: Element) -> None:
        ledger, id = self._world.ledger, element.get("id", "")
        if self.inside.iq(element) or self.press.iq(element):
            return
        if element.get("type") in ("get", "set"):
            to = f" to='{element.get('from')}'" if element.get("from") else ""
            if self.chain is not None and self.up:
                self.send(f"<iq type='result' id='{id}'{to}/>".encode())
            return
        request = ledger.requests.get((self.index, id))
        if request is None:
            return
        error = element.find(f"{{{CLIENT}}}error")
        how = local(error[0]) if error is not None and len(error) else element.get("type", "")
        if request.answered:
            request.again, request.again_at = how, self._world.loop.now
        else:
            request.answered, request.how = self._world.loop.now, how
