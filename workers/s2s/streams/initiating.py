"""One stream that we open to another server, from the header to its end (RFC 6120, XEP-0178, 0198, 0220, 0288). A pure machine.

Bytes become events outside; each event gives effects. The certificate of the other side comes in with `secured`, dialback keys by `Terms.key`.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from enum import Enum
from typing import Final, NamedTuple

from rookery.shared.xeps import stream_management
from rookery.shared.xmpp import header, ns
from rookery.shared.xmpp.errors import JidError, StreamError
from rookery.shared.xmpp.events import Event, StreamClosed, StreamOpened
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element
from rookery.workers.s2s.streams import dialback, numbers, troubles
from rookery.workers.s2s.streams.api import Trouble
from rookery.workers.s2s.streams.dialback import Key, Pair
from rookery.workers.s2s.streams.effects import (
    Effect,
    Ended,
    Opened,
    Paired,
    Restart,
    Send,
    StartTls,
    Verified,
)
from rookery.workers.s2s.streams.management import Inbound, Outbound
from rookery.workers.s2s.streams.pairs import Pairs
from rookery.workers.s2s.streams.proof import NOTHING, Proof

BIDI: Final = "urn:xmpp:bidi"
BIDI_FEATURE: Final = "urn:xmpp:features:bidi"
_STARTTLS: Final = f"<starttls xmlns='{ns.TLS}'/>".encode()
_BIDI: Final = f"<bidi xmlns='{BIDI}'/>".encode()
_NO_SHARING: Final = Trouble("remote-server-timeout", "the other side shares no streams", False, "multiplex")


class Terms(NamedTuple):
    """What we want of the stream.

    `weak`: the other side need not prove itself by certificate (dialback is believed of it). `key` makes the dialback key of a pair on a
    stream id. With `lookup` the stream only asks about that key. `name`: what our queues are called by now (`numbers`), "" for no numbers.
    `shares`: is the certificate that is shown for the pair's sender shown for this domain of ours, too.
    """

    pair: Pair
    weak: bool
    bidi: bool
    key: Callable[[Pair, str], str]
    hosted: Callable[[str], bool]
    lookup: Key | None = None
    name: Callable[[], str] = str
    shares: Callable[[str], bool] = bool


class Phase(Enum):
    """What is awaited."""

    HEADER = "their header"
    FEATURES = "their features"
    PROCEED = "leave to begin TLS"
    HANDSHAKE = "the end of the handshake"
    AUTH = "the outcome of SASL EXTERNAL"
    KEY = "the outcome of dialback"
    LOOKUP = "the word of an authoritative server"
    READY = "stanzas"
    CLOSED = "nothing"


class Initiating:
    """The machine. `begin` gives the first effects; `closed` tells whether the stream is over."""

    def __init__(self, terms: Terms, *, direct: bool) -> None:
        self.terms = terms
        self.phase = Phase.HANDSHAKE if direct else Phase.HEADER
        self.out = Outbound()
        self.inbound = Inbound()
        self.pairs = Pairs(terms.hosted)
        self.told = numbers.Told()
        #: The other side wants to know the numbers of rows.
        self.numbered = False
        self.id = ""
        self.bidi = False
        self._proof = NOTHING
        self._secure = False
        self._authenticated = False
        self._dialback = False
        self._offers_management = False
        #: Our pairs whose outcome is awaited, and those that are proved.
        self._asked: dict[Pair, None] = {}
        self.proved: set[Pair] = set()

    @property
    def ready(self) -> bool:
        """Whether stanzas may be sent."""
        return self.phase is Phase.READY

    # --- what the shell says ---

    def begin(self) -> list[Effect]:
        """The connection is made; with TLS from the first byte, `secured` comes first."""
        return [] if self.phase is Phase.HANDSHAKE else [self._header()]

    def secured(self, proof: Proof) -> list[Effect]:
        """The handshake is done."""
        remote = self.terms.pair.receiver
        self._secure = True
        self._proof = proof
        if not self.terms.weak and not proof.covers(remote):
            return self._give_up(troubles.untrusted(remote, proof.why_not()))
        self.phase = Phase.HEADER
        return [self._header()]

    def authenticate(self, local: str) -> list[Effect]:
        """Prove one more hosted domain on this stream (XEP-0220 section 2.5).

        One that has a certificate of its own can show that on a stream of its own only.
        """
        pair = Pair(local, self.terms.pair.receiver)
        if pair in self.proved:
            return [Paired(pair)]
        if not self._dialback or not self.ready or (self._authenticated and not self.terms.shares(local)):
            return [Paired(pair, _NO_SHARING)]
        return [self._show(pair)]

    def close(self) -> list[Effect]:
        """End it in order; what the other side still says is read."""
        if self.phase is Phase.CLOSED:
            return []
        self.phase = Phase.CLOSED
        return [Send(header.CLOSE)]

    def fail(self, error: StreamError) -> list[Effect]:
        """End it with an error."""
        if self.phase is Phase.CLOSED:
            return []
        return [*self._last_words(error), Ended(error, troubles.ours(error))]

    # --- what the other side says ---

    def handle(self, event: Event) -> list[Effect]:
        """One event that is no stanza of a ready stream."""
        if self.phase is Phase.CLOSED:
            return []
        try:
            if isinstance(event, StreamError):
                raise event
            if isinstance(event, StreamOpened):
                return self._opened(event)
            if isinstance(event, StreamClosed):
                self.phase = Phase.CLOSED
                return [Send(header.CLOSE), Ended(None, troubles.CLOSED)]
            if isinstance(event, Stanza):
                raise StreamError("not-authorized", "stanzas do not come this way")
            return self._element(event)
        except StreamError as error:
            return self.fail(error)

    def _opened(self, opened: StreamOpened) -> list[Effect]:
        if self.phase is not Phase.HEADER:
            raise StreamError("bad-format", "a stream has one header")
        if not opened.version.startswith("1."):
            raise StreamError("unsupported-version", "version 1.0 is needed")
        if len(opened.id) > dialback.MAX_ID:
            raise StreamError("policy-violation", "the id is too long")
        self.id = opened.id
        self.phase = Phase.FEATURES
        return []

    def _element(self, element: Element) -> list[Effect]:
        uri, name = element.ns, element.name
        if uri == ns.STREAM and name == "error":
            self.phase = Phase.CLOSED
            return [Send(header.CLOSE), Ended(None, troubles.theirs(element))]
        if uri == ns.STREAM and name == "features":
            return self._features(element)
        if uri == ns.TLS:
            return self._tls(name)
        if uri == ns.SASL:
            return self._sasl(element)
        if uri == dialback.NS:
            return self._answer(element)
        if uri == stream_management.NS:
            return self._management(element)
        raise StreamError("unsupported-stanza-type")

    def _features(self, element: Element) -> list[Effect]:
        if self.phase is not Phase.FEATURES:
            raise StreamError("bad-format", "features come after the header")
        found = {(child.ns, child.name): child for child in element.children if isinstance(child, Element)}
        if not self._secure:
            if (ns.TLS, "starttls") not in found:
                return self._give_up(Trouble(text="it offers no TLS", permanent=True, kind="tls"))
            self.phase = Phase.PROCEED
            return [Send(_STARTTLS)]
        self._dialback = self._dialback or (dialback.FEATURE, "dialback") in found
        self._offers_management = (stream_management.NS, "sm") in found
        self.numbered = bool(self.terms.name()) and (numbers.NS, "numbers") in found
        if self.terms.lookup is not None:
            self.phase = Phase.LOOKUP
            return [Send(dialback.verify(self.terms.lookup))]
        if self._authenticated:
            return self._ready()
        out: list[Effect] = []
        if self.terms.bidi and (BIDI_FEATURE, "bidi") in found:
            self.bidi = True
            out.append(Send(_BIDI))
        if "EXTERNAL" in _mechanisms(found.get((ns.SASL, "mechanisms"))):
            self.phase = Phase.AUTH
            local = b64encode(self.terms.pair.sender.encode()).decode()
            auth = f"<auth xmlns='{ns.SASL}' mechanism='EXTERNAL'>{local}</auth>"
            return [*out, Send(auth.encode())]
        return [*out, *self._try_key("it offers no way to prove ourselves")]

    def _try_key(self, else_: str) -> list[Effect]:
        if not self._dialback:
            return self._give_up(troubles.refused(else_))
        self.phase = Phase.KEY
        return [self._show(self.terms.pair)]

    def _tls(self, name: str) -> list[Effect]:
        if self.phase is Phase.PROCEED and name == "proceed":
            self.phase = Phase.HANDSHAKE
            return [StartTls()]
        if self.phase is Phase.PROCEED and name == "failure":
            return self._give_up(Trouble(text="it refuses TLS", kind="tls"))
        raise StreamError("unsupported-stanza-type")

    def _sasl(self, element: Element) -> list[Effect]:
        if self.phase is not Phase.AUTH:
            raise StreamError("unsupported-stanza-type")
        if element.name == "success":
            self._authenticated = True
            self._prove(self.terms.pair)
            self.phase = Phase.HEADER
            return [Restart(), self._header()]
        if element.name == "failure":
            # XEP-0178 section 3: dialback may follow.
            return self._try_key("it does not take our certificate")
        raise StreamError("unsupported-stanza-type")

    # --- dialback ---

    def _show(self, pair: Pair) -> Send:
        self._asked[pair] = None
        return Send(dialback.result(pair, self.terms.key(pair, self.id)))

    def _answer(self, element: Element) -> list[Effect]:
        """An answer that nobody asked for is an attack (XEP-0220 section 4.1), and so is a question on our stream."""
        try:
            there = dialback.addresses(element)
        except JidError:
            raise StreamError("improper-addressing") from None
        pair, type = Pair(there.receiver, there.sender), element.get("type") or ""
        if element.name == "verify" and self.phase is Phase.LOOKUP:
            return self._word(element, pair, type)
        if element.name != "result" or pair not in self._asked or type not in ("valid", "invalid", "error"):
            raise StreamError("policy-violation", "an answer that was not asked for")
        del self._asked[pair]
        if type == "valid":
            self._prove(pair)
            return self._ready() if self.phase is Phase.KEY else [Paired(pair)]
        trouble = troubles.dialback(type, dialback.condition_of(element))
        if self.phase is Phase.KEY:
            return self._give_up(trouble)
        # Not a last word: a stream of its own may prove with a certificate what this one could not.
        return [Paired(pair, _NO_SHARING if trouble.kind == "auth" else trouble)]

    def _word(self, element: Element, pair: Pair, type: str) -> list[Effect]:
        key = self.terms.lookup
        assert key is not None
        # The question went from the receiver of the pair to its sender.
        if pair != Pair(key.pair.receiver, key.pair.sender) or element.get("id") != key.id:
            raise StreamError("policy-violation", "an answer that was not asked for")
        valid = {"valid": True, "invalid": False}.get(type)
        return [Verified(valid), *self.close(), Ended(None, troubles.IDLE)]

    def _prove(self, pair: Pair) -> None:
        self.proved.add(pair)
        if self.bidi:
            self.pairs.add(pair.receiver, pair.sender)

    def _ready(self) -> list[Effect]:
        self.phase = Phase.READY
        out: list[Effect] = self.out.enable() if self._offers_management else []
        if self.numbered:
            out.append(Send(numbers.begin(self.terms.name())))
        return [*out, Opened()]

    def _management(self, element: Element) -> list[Effect]:
        if not self.ready:
            raise StreamError("unsupported-stanza-type")
        name = element.name
        if name in ("enabled", "failed"):
            if name == "enabled":
                # Each side may ask for an acknowledgement from here on (XEP-0198 section 3).
                self.inbound.start()
            return self.out.decided(on=name == "enabled")
        if name == "a":
            return self.out.answered(element)
        if name == "r":
            return self.inbound.request()
        raise StreamError("unsupported-stanza-type")

    # --- ends ---

    def _header(self) -> Send:
        pair = self.terms.pair
        return Send(
            header.stream_header(
                from_=pair.sender, to=pair.receiver, content_ns=ns.SERVER, declared=dialback.DECLARED
            )
        )

    def _last_words(self, error: StreamError) -> list[Effect]:
        self.phase = Phase.CLOSED
        return [Send(header.stream_error(error)), Send(header.CLOSE)]

    def _give_up(self, trouble: Trouble) -> list[Effect]:
        began = self.phase is not Phase.HANDSHAKE
        self.phase = Phase.CLOSED
        return [*([Send(header.CLOSE)] if began else []), Ended(None, trouble)]


def _mechanisms(element: Element | None) -> set[str]:
    if element is None:
        return set()
    return {dialback.text_of(child) for child in element.children if isinstance(child, Element)}
