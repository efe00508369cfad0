"""Streams that a remote domain opens to the server under test: to send stanzas, or to ask about a dialback key."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Final

from rookery.bench.driver.scan import REQUEST, split
from rookery.bench.driver.script import Note, Send, StartTls
from rookery.bench.remotes import grammar
from rookery.bench.remotes.domains import Domain
from rookery.bench.remotes.grammar import StreamLostError
from rookery.bench.remotes.ground import Ground
from rookery.bench.remotes.wire import Wire
from rookery.shared.xmpp import ns

#: A conversation: gets whole elements, stream headers included.
Talk = Generator[Send | StartTls | Note | None, bytes | None, None]
Said = Generator[Send | StartTls | Note | None, bytes | None, bytes]
_SKIPPED: Final = b"<?xml"


def hear() -> Said:
    """The next element that is no error of the stream. Raises StreamLostError."""
    element = yield None
    assert element is not None
    if element.startswith(b"<stream:error"):
        raise StreamLostError(grammar.condition_of(grammar.parse(element)))
    return element


def introduce(
    domain: str, target: str
) -> Generator[Send | StartTls | Note | None, bytes | None, tuple[str, bytes]]:
    """Exchange headers; returns the id of the stream and the features. Raises StreamLostError."""
    yield Send(grammar.opening(domain, target))
    head = yield from hear()
    if not head.startswith(b"<stream:stream"):
        raise StreamLostError("no-stream")
    features = yield from hear()
    if b"features" not in features[:20]:
        raise StreamLostError("no-features")
    return grammar.attribute(head, "id"), features


def secured(
    domain: str, target: str
) -> Generator[Send | StartTls | Note | None, bytes | None, tuple[str, bytes]]:
    """The same with STARTTLS before. Raises StreamLostError."""
    _, features = yield from introduce(domain, target)
    yield Note("connect")
    if ns.TLS.encode() not in features:
        raise StreamLostError("no-starttls")
    yield Send(grammar.STARTTLS)
    if not (yield from hear()).startswith(b"<proceed"):
        raise StreamLostError("starttls-refused")
    yield StartTls()
    yield Note("tls")
    found = yield from introduce(domain, target)
    return found


def prove(domain: Domain, target: str, secret: bytes) -> Talk:
    """Open a stream for stanzas. Raises StreamLostError."""
    id, features = yield from secured(domain.name, target)
    if not domain.dialback:
        if b"EXTERNAL" not in features:
            raise StreamLostError("no-external")
        yield Send(grammar.external(domain.name))
        answer = yield from hear()
        if not answer.startswith(b"<success"):
            raise StreamLostError(grammar.condition_of(grammar.parse(answer)))
        yield from introduce(domain.name, target)
    else:
        yield Send(grammar.result(domain.name, target, grammar.key(secret, domain.name, target, id)))
        result = grammar.parse((yield from hear()))
        if result.ns != grammar.DIALBACK or result.get("type") != "valid":
            raise StreamLostError(f"dialback-{result.get('type') or 'none'}")
    yield Note("auth")


def inquire(domain: str, target: str, id: str, key: str, word: Callable[[bool], None]) -> Talk:
    """Ask the server whether a key is its own. Raises StreamLostError."""
    yield from secured(domain, target)
    yield Send(grammar.verify(domain, target, id, key))
    answer = grammar.parse((yield from hear()))
    word(answer.ns == grammar.DIALBACK and answer.get("type") == "valid")
    yield Send(grammar.CLOSE)


class Outgoing:
    """One stream to the server under test; `open` while stanzas may be sent."""

    __slots__ = (
        "_domain",
        "_done",
        "_ground",
        "_lost",
        "_since",
        "_tail",
        "_talk",
        "_target",
        "hold",
        "marks",
        "open",
        "wire",
    )

    def __init__(
        self, ground: Ground, domain: Domain, target: str, lost: Callable[[Outgoing, str], None]
    ) -> None:
        self._ground = ground
        self._lost = lost
        self._target = target
        self._domain = domain
        self._tail = b""
        self._talk: Talk | None = None
        self._since = 0
        self._done: Callable[[Outgoing, str], None] = _ignore
        self.wire = Wire(ground.loop, self._on_data, self._on_gone)
        self.open = False
        #: Nanoseconds of each part of the beginning.
        self.marks: dict[str, int] = {}
        #: What a scenario keeps with it.
        self.hold: object = None

    @property
    def domain(self) -> Domain:
        """Whose stream it is."""
        return self._domain

    @property
    def busy(self) -> bool:
        """Whether it is being opened."""
        return self._talk is not None

    def connect(self, talk: Talk, done: Callable[[Outgoing, str], None]) -> None:
        """Connect and go through a conversation; `done` gets a condition, "" for a good end."""
        self._talk, self._done = talk, done
        self._since = self._ground.loop.clock()
        self.marks = {}
        self.wire.connect(*self._ground.place, lambda: self._advance(None, first=True))

    def write(self, data: bytes) -> None:
        """Send stanzas."""
        self.wire.write(data)

    def close(self) -> None:
        """End the stream properly."""
        if self.open:
            self.wire.write(grammar.CLOSE)
        self.open = False
        self.wire.close()

    def _on_data(self, data: bytes) -> None:
        whole, self._tail = split(self._tail + data)
        for element in whole:
            if element.startswith(_SKIPPED):
                continue
            if element.startswith(b"</stream"):
                self.wire.write(grammar.CLOSE)
                self._fail("closed")
                return
            if self._talk is not None:
                self._advance(element)
            elif element.startswith(b"<stream:error"):
                self._fail(grammar.condition_of(grammar.parse(element)))
                return
            elif element.startswith(b"<iq") and REQUEST.search(element):
                self.wire.write(grammar.pong(element))
            if not self.wire.open:
                return

    def _advance(self, value: bytes | None, first: bool = False) -> None:
        talk = self._talk
        assert talk is not None
        try:
            step = next(talk) if first else talk.send(value)
            while step is not None:
                if isinstance(step, Send):
                    self.wire.write(step.data)
                elif isinstance(step, Note):
                    now = self._ground.loop.clock()
                    self.marks[step.operation], self._since = now - self._since, now
                else:
                    self._tail = b""
                    context = self._ground.context(self._domain)
                    self.wire.start_tls(context, lambda: self._advance(None), name=self._target)
                    return
                if self._talk is None:
                    return
                step = talk.send(None)
        except StopIteration:
            self._talk, self.open = None, True
            self._done(self, "")
        except StreamLostError as error:
            self._fail(error.condition)

    def _on_gone(self, condition: str) -> None:
        self._fail(condition)

    def _fail(self, condition: str) -> None:
        opening = self._talk is not None
        self._talk, self.open = None, False
        self.wire.close()
        if opening:
            self._done(self, condition)
        else:
            self._lost(self, condition)


def _ignore(_stream: Outgoing, _condition: str) -> None:
    return
