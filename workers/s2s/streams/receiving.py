"""One stream that another server opens to us, from the header to its end (RFC 6120, XEP-0178, 0198, 0220, 0288). A pure machine.

Nothing but TLS is offered before TLS. EXTERNAL is offered to whom the certificate covers; a dialback key is believed at once when the
certificate covers its domain, checked with the authoritative server when the policy lists the domain, and refused else. Where a domain may say
itself which certificates are its own (RFC 7711), one that does not cover it is asked about before features are offered, and before a key is refused.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final, NamedTuple

from rookery.shared.xeps import stream_management
from rookery.shared.xmpp import header, ns
from rookery.shared.xmpp.errors import JidError, StreamError
from rookery.shared.xmpp.events import Event, StreamClosed, StreamOpened
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element
from rookery.workers.s2s.streams import dialback, naming, numbers, troubles
from rookery.workers.s2s.streams.api import Trouble
from rookery.workers.s2s.streams.dialback import Key, Pair
from rookery.workers.s2s.streams.effects import Effect, Ended, Paired, Restart, Send, StartTls, Verify, Vouch
from rookery.workers.s2s.streams.management import Inbound, Outbound
from rookery.workers.s2s.streams.pairs import Pairs
from rookery.workers.s2s.streams.proof import NOTHING, Proof

#: Failed authentications of one stream.
MAX_TRIES: Final = 5
#: What will be refused the next time, too.
_NEVER: Final = frozenset({"not-authorized", "policy-violation"})
_PROCEED: Final = f"<proceed xmlns='{ns.TLS}'/>".encode()
_SUCCESS: Final = f"<success xmlns='{ns.SASL}'/>".encode()


class Terms(NamedTuple):
    """What we grant.

    `hosted`: is it a domain of ours that speaks with others. `allowed`: may (remote, local) exchange stanzas. `believes`: is dialback
    enough of a remote domain. `secrets`: those of our own keys, newest first. `pairs`: most pairs of one stream.
    """

    hosted: Callable[[str], bool]
    allowed: Callable[[str, str], bool]
    believes: Callable[[str], bool]
    secrets: Callable[[], Sequence[bytes]]
    token: Callable[[], str]
    pairs: int
    #: Whether domains say over HTTPS whose certificate is theirs.
    posh: bool = False


class Phase(Enum):
    """What is awaited."""

    HEADER = "their header"
    VOUCHING = "what their domain says of the certificate"
    OPEN = "what they want"
    HANDSHAKE = "the end of the handshake"
    CLOSED = "nothing"


class Receiving:
    """The machine. `remote` and `local` are what the header says; `pairs` is what is proved."""

    def __init__(self, terms: Terms, *, direct: bool) -> None:
        self.terms = terms
        self.phase = Phase.HANDSHAKE if direct else Phase.HEADER
        self.out = Outbound()
        self.inbound = Inbound()
        self.pairs = Pairs(terms.hosted)
        self.told = numbers.Told()
        #: We send nothing that has a row on a stream that the other side has opened.
        self.numbered = False
        self.local = ""
        self.remote = ""
        self._id = ""
        self._proof = NOTHING
        self._secure = False
        self._external = False
        self._opened = False
        self._tries = 0
        #: Keys whose word is awaited.
        self._asking: dict[Key, None] = {}
        #: What was asked of domains of the certificate: whether it is theirs; keys that wait for that.
        self._vouched: dict[str, bool] = {}
        self._claims: dict[str, list[tuple[Pair, str]]] = {}

    # --- what the shell says ---

    def secured(self, proof: Proof) -> list[Effect]:
        """The handshake is done."""
        self._secure = True
        self._proof = proof
        self._renew()
        return []

    def verified(self, key: Key, valid: bool | None) -> list[Effect]:
        """The authoritative server has spoken of a key; None when it could not be asked."""
        if self.phase is Phase.CLOSED or key not in self._asking:
            return []
        del self._asking[key]
        pair = key.pair
        there = Pair(pair.receiver, pair.sender)
        if valid is None:
            return self._again(dialback.refuse("result", there, "remote-server-timeout"))
        if not valid and len(self.pairs):
            # Section 2.2.1: other pairs of this stream are not concerned.
            return self._again(dialback.refuse("result", there, "forbidden"))
        if not valid:
            return [Send(dialback.answer("result", there, "invalid")), *self._over(troubles.FORGED)]
        self.pairs.add(pair.sender, pair.receiver)
        return [Send(dialback.answer("result", there, "valid")), Paired(pair)]

    def vouched(self, domain: str, good: bool) -> list[Effect]:
        """A domain has said whether the certificate is its own (RFC 7711)."""
        if self.phase is Phase.CLOSED:
            return []
        self._vouched[domain] = good
        effects: list[Effect] = []
        if self.phase is Phase.VOUCHING and domain == self.remote:
            self.phase = Phase.OPEN
            effects.append(Send(header.stream_features(self._features(), ns.SERVER)))
        for pair, text in self._claims.pop(domain, ()):
            if self.phase is Phase.OPEN:
                effects += self._claim(pair, text)
        return effects

    def _covers(self, remote: str) -> bool:
        return self._proof.covers(remote) or self._vouched.get(remote, False)

    def _asks(self, remote: str) -> bool:
        """Whether the domain is to be asked of the certificate: only one that was shown, and once."""
        askable = self.terms.posh and self._secure and self._proof != NOTHING and remote not in self._vouched
        return askable and bool(remote) and not self._proof.covers(remote)

    def _again(self, answer: bytes) -> list[Effect]:
        """Answer a key that is not believed; not for ever."""
        self._tries += 1
        if self._tries < 2 * MAX_TRIES:
            return [Send(answer)]
        return [Send(answer), *self.fail(StreamError("policy-violation", "too many attempts"))]

    def _over(self, trouble: Trouble) -> list[Effect]:
        self.phase = Phase.CLOSED
        return [Send(header.CLOSE), Ended(None, trouble)]

    def close(self) -> list[Effect]:
        """End it in order."""
        if self.phase is Phase.CLOSED:
            return []
        opening = self._header_before()
        self.phase = Phase.CLOSED
        return [*opening, Send(header.CLOSE)]

    def fail(self, error: StreamError) -> list[Effect]:
        """End it with an error; our header comes before it in any case (RFC 6120 section 4.9.1.2)."""
        if self.phase is Phase.CLOSED:
            return []
        opening = self._header_before()
        self.phase = Phase.CLOSED
        words = [Send(header.stream_error(error)), Send(header.CLOSE)]
        return [*opening, *words, Ended(error, troubles.ours(error))]

    # --- what the other side says ---

    def handle(self, event: Event) -> list[Effect]:
        """One event that is no stanza of a proved pair."""
        if self.phase is Phase.CLOSED:
            return []
        try:
            if isinstance(event, StreamError):
                raise event
            if isinstance(event, StreamOpened):
                return self._header(event)
            if isinstance(event, StreamClosed):
                return [*self.close(), Ended(None, troubles.CLOSED)]
            if isinstance(event, Stanza):
                raise StreamError("not-authorized", "no domain has proved itself on this stream")
            return self._element(event)
        except StreamError as error:
            return self.fail(error)

    def _header(self, opened: StreamOpened) -> list[Effect]:
        if self.phase is not Phase.HEADER:
            raise StreamError("bad-format", "a stream has one header")
        local, remote = naming.local(opened.to), naming.remote(opened.from_)
        if local and not self.local and self.terms.hosted(local):
            self.local = local
        if not opened.version.startswith("1."):
            raise StreamError("unsupported-version", "version 1.0 is needed")
        if not local:
            raise StreamError("improper-addressing", "a stream is opened to a domain")
        if not self.terms.hosted(local):
            raise StreamError("host-unknown", "this domain is not served here")
        if len(self.pairs) and (remote or self.remote, local) not in self.pairs:
            raise StreamError("invalid-from", "the stream was authenticated for another pair of domains")
        self.local, self.remote = local, remote or self.remote
        if self.remote and self.terms.hosted(self.remote):
            raise StreamError("invalid-from", "this domain is served here")
        if self.remote and not self.terms.allowed(self.remote, local):
            raise StreamError("policy-violation", f"{local} does not speak with {self.remote}")
        if not len(self.pairs) and self._asks(self.remote):
            self.phase = Phase.VOUCHING
            return [self._open(), Vouch(self.remote)]
        self.phase = Phase.OPEN
        return [self._open(), Send(header.stream_features(self._features(), ns.SERVER))]

    def _features(self) -> list[Element]:
        if not self._secure:
            return [Element(ns.TLS, "starttls", None, Element(ns.TLS, "required"))]
        found: list[Element] = []
        if self._external:
            found += (stream_management.feature(), numbers.feature())
        else:
            if self.remote and self._covers(self.remote):
                found.append(
                    Element(ns.SASL, "mechanisms", None, Element(ns.SASL, "mechanism", None, "EXTERNAL"))
                )
            if self.remote and self.terms.believes(self.remote):
                # After dialback no features follow, so what is there then is said now.
                found += (stream_management.feature(), numbers.feature())
        found.append(dialback.feature())
        return found

    def _element(self, element: Element) -> list[Effect]:
        if self.phase is not Phase.OPEN:
            raise StreamError("bad-format", "a stream starts with a header")
        uri, name = element.ns, element.name
        if uri == ns.STREAM and name == "error":
            self.phase = Phase.CLOSED
            return [Send(header.CLOSE), Ended(None, troubles.theirs(element))]
        if uri == ns.TLS and name == "starttls":
            return self._starttls()
        if uri == ns.SASL:
            return self._sasl(element)
        if uri == dialback.NS:
            return self._dialback(element)
        if uri == stream_management.NS:
            return self._management(element)
        if uri == numbers.NS and len(self.pairs):
            self.told.hear(element)
            return []
        raise StreamError("unsupported-stanza-type")

    def _starttls(self) -> list[Effect]:
        if self._secure:
            raise StreamError("policy-violation", "TLS is there already")
        self.phase = Phase.HANDSHAKE
        return [Send(_PROCEED), StartTls()]

    # --- SASL EXTERNAL (XEP-0178 section 3) ---

    def _sasl(self, element: Element) -> list[Effect]:
        if element.name == "abort":
            return self._failure("aborted")
        if element.name != "auth" or self._external:
            raise StreamError("unsupported-stanza-type")
        if not self._secure:
            return self._failure("encryption-required")
        if element.get("mechanism") != "EXTERNAL":
            return self._failure("invalid-mechanism")
        try:
            asked = naming.authorization(dialback.text_of(element))
        except binascii.Error:
            return self._failure("incorrect-encoding")
        except (JidError, UnicodeDecodeError):
            return self._failure("invalid-authzid")
        remote = asked or self.remote
        if not remote or (self.remote and remote != self.remote):
            return self._failure("invalid-authzid")
        if not self._covers(remote) or not self._may_come(remote):
            return self._failure("not-authorized")
        self.remote = remote
        self._external = True
        self.pairs.add(remote, self.local)
        self._renew()
        return [Send(_SUCCESS), Restart(), Paired(Pair(remote, self.local))]

    def _may_come(self, remote: str) -> bool:
        return not self.terms.hosted(remote) and self.terms.allowed(remote, self.local)

    def _failure(self, condition: str) -> list[Effect]:
        self._tries += 1
        failure = Element(ns.SASL, "failure", None, Element(ns.SASL, condition))
        if self._tries >= MAX_TRIES:
            return [Send(failure.encode()), *self.fail(StreamError("policy-violation", "too many attempts"))]
        return [Send(failure.encode())]

    # --- dialback (XEP-0220 section 2.2) ---

    def _dialback(self, element: Element) -> list[Effect]:
        try:
            pair = dialback.addresses(element)
        except JidError:
            raise StreamError("improper-addressing", "from and to are domains") from None
        name = element.name
        if element.get("type") is not None or name not in ("result", "verify"):
            # Section 4.1: an answer that nobody asked for.
            raise StreamError("policy-violation", "an answer that was not asked for")
        text = dialback.text_of(element)
        if len(text) > dialback.MAX_KEY or len(element.get("id") or "") > dialback.MAX_ID:
            raise StreamError("policy-violation", "the key is too long")
        return self._claim(pair, text) if name == "result" else self._question(element, pair, text)

    def _claim(self, pair: Pair, text: str) -> list[Effect]:
        """A remote domain shows its key (step 1)."""
        remote, local = pair
        there = Pair(local, remote)
        condition = self._objection(remote, local)
        if (not condition or condition == "not-authorized") and self._asks(remote):
            waiting = self._claims.setdefault(remote, [])
            waiting.append((pair, text))
            return [Vouch(remote)] if len(waiting) == 1 else []
        if condition:
            answer = dialback.refuse("result", there, condition)
            return self._again(answer) if condition in _NEVER else [Send(answer)]
        if self._covers(remote):
            self.pairs.add(remote, local)
            return [Send(dialback.answer("result", there, "valid")), Paired(pair)]
        key = Key(pair, self._id, text)
        if key in self._asking:
            return []
        self._asking[key] = None
        return [Verify(key)]

    @property
    def _under_way(self) -> int:
        return len(self._asking) + sum(map(len, self._claims.values()))

    def _objection(self, remote: str, local: str) -> str:
        if not self._secure:
            return "policy-violation"
        if not self.terms.hosted(local):
            return "item-not-found"
        if self.terms.hosted(remote):
            return "not-acceptable"
        if not self.terms.allowed(remote, local):
            return "policy-violation"
        if (remote, local) not in self.pairs and len(self.pairs) + self._under_way >= self.terms.pairs:
            return "resource-constraint"
        if not self._covers(remote) and not self.terms.believes(remote):
            return "not-authorized"
        return ""

    def _question(self, element: Element, pair: Pair, text: str) -> list[Effect]:
        """Another server asks whether a key is ours (step 2): its own domain received the key, ours has sent it."""
        there, id = Pair(pair.receiver, pair.sender), element.get("id") or ""
        if not id:
            raise StreamError("bad-format", "a verify has an id")
        if not self._secure:
            return [Send(dialback.refuse("verify", there, "policy-violation", id))]
        if not self.terms.hosted(pair.receiver):
            return [Send(dialback.refuse("verify", there, "item-not-found", id))]
        ours = dialback.is_ours(self.terms.secrets(), Key(there, id, text))
        return [Send(dialback.answer("verify", there, "valid" if ours else "invalid", id))]

    # --- stream management ---

    def _management(self, element: Element) -> list[Effect]:
        if not len(self.pairs):
            raise StreamError("not-authorized", "no domain has proved itself on this stream")
        name = element.name
        if name == "enable":
            return self.inbound.enable()
        if name == "resume":
            return [Send(stream_management.failed("item-not-found").encode())]
        if name == "r":
            return self.inbound.request()
        if name == "a":
            return self.out.answered(element)
        raise StreamError("unsupported-stanza-type")

    # --- headers ---

    def _renew(self) -> None:
        self.phase = Phase.HEADER
        self._opened = False

    def _open(self) -> Send:
        self._opened = True
        self._id = self.terms.token()
        return Send(
            header.stream_header(
                from_=self.local, to=self.remote, id=self._id, content_ns=ns.SERVER, declared=dialback.DECLARED
            )
        )  # fmt: skip

    def _header_before(self) -> list[Effect]:
        return [] if self._opened else [self._open()]
