"""What all parts of a negotiation know of their stream, and its end. A pure machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from rookery.edge.login.effects import Close, Effect, Phase, Send
from rookery.edge.login.framing import Framing
from rookery.edge.policy import HostedDomain, Policy, Security
from rookery.shared.xmpp.errors import StreamError

#: Failed bindings, resumptions and registrations on one stream before it is closed.
MAX_TRIES: Final = 10


class Stream:
    """One stream before its session. `token` gives fresh unpredictable text for stream ids and nonces."""

    __slots__ = (
        "_opened", "_tries", "account", "asking", "framing", "from_", "host", "id", "lang", "phase", "policy", "security", "token",
    )  # fmt: skip

    def __init__(
        self, policy: Policy, security: Security, framing: Framing, token: Callable[[], str]
    ) -> None:
        self.policy = policy
        self.framing = framing
        self.token = token
        self.security = security
        self.phase = Phase.HEADER
        self.host: HostedDomain | None = None
        #: Who has authenticated, "" before.
        self.account = ""
        #: The bare JID that the client's header says, "" for none.
        self.from_ = ""
        self.lang = ""
        #: The id of our last header (RFC 6120 section 4.7.3), "" before.
        self.id = ""
        #: Whether an answer of the cluster is awaited.
        self.asking = False
        self._opened = False
        self._tries = 0

    @property
    def domain(self) -> str:
        """The host of this stream, "" before its header."""
        return self.host.name if self.host is not None else ""

    def open(self, name: str, to: str) -> Effect:
        """Our header."""
        self._opened = True
        self.id = self.token()
        return Send(self.framing.open(name, to, self.id))

    def renew(self) -> None:
        """What follows is a new document: it begins with a header of its own."""
        self.phase = Phase.HEADER
        self._opened = False

    def tried(self) -> list[Effect]:
        """One more attempt has failed; too many of them end the stream."""
        self._tries += 1
        return (
            self.fail(StreamError("policy-violation", "too many attempts"))
            if self._tries >= MAX_TRIES
            else []
        )

    # --- the end ---

    def fail(self, error: StreamError) -> list[Effect]:
        """End with a stream error; our header comes before it in any case (RFC 6120 section 4.9.1.2)."""
        return [*self._header(), Send(self.framing.error(error)), *self.close(error)]

    def close(self, error: StreamError | None) -> list[Effect]:
        """End in order; with `error`, that has been written."""
        out = self._header()
        self.phase = Phase.CLOSED
        self.asking = False
        return [*out, Send(self.framing.close()), Close(error)]

    def _header(self) -> list[Effect]:
        return [] if self._opened else [self.open(self.domain or self.policy.fallback(), "")]
