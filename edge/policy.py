"""What an edge knows of its domains, wants of its streams, and has to protect each of them: values, made by its service and its door."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from rookery.shared.xeps import registration
from rookery.shared.xmpp.xml import Element


@dataclass(frozen=True, slots=True)
class HostedDomain:
    """A domain as negotiation sees it; `caps` is its capabilities element (XEP-0115 section 6.3), when known.

    `told` has the features that streams of this domain were sent, by what they depend on.
    """

    name: str
    registration: bool = False
    caps: Element | None = None
    #: SASL mechanisms, best first, where passwords are kept elsewhere; () for those of the passwords that are kept here.
    logins: tuple[str, ...] = ()
    #: Whether people who make accounts are asked something (XEP-0158).
    puzzles: bool = False
    told: dict[tuple[object, ...], bytes] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Policy:
    """What all streams of an edge share. `find` looks a prepared domain up among the hosted ones."""

    find: Callable[[str], HostedDomain | None]
    #: Names the host that we are when a client asks for one that we are not; "" while we have none.
    fallback: Callable[[], str]
    #: SCRAM mechanisms that accounts have keys for, best first.
    mechanisms: tuple[str, ...]
    stanza_bytes: int
    preauth_bytes: int
    idle_seconds: int
    failures: int
    #: What the form for a new account says.
    instructions: str = registration.Options().instructions
    #: Whether accounts are made with invitations, too (XEP-0445).
    invitations: bool = False
    #: How long a person may take to fill it in.
    form_seconds: float = registration.Options().form_seconds
    #: Whether clients get tokens (XEP-0484), and may come back with them.
    fast: bool = False
    #: Whether SCRAM signs what was offered (XEP-0474).
    downgrade_protection: bool = False
    #: SCRAM mechanisms that clients may give keys for (XEP-0480), and the iterations of those.
    upgrades: tuple[str, ...] = ()
    iterations: int = 4096
    #: Whether clients are asked for certificates, and log in with them (XEP-0178).
    certificates: bool = False


@dataclass(slots=True)
class Security:
    """What protects a stream: TLS of ours or of a trusted proxy; `plaintext` allows to go without (loopback only)."""

    secure: bool = False
    starttls: bool = False
    plaintext: bool = False
    binding: bytes | None = None
    #: The bare JIDs of the certificate that the client has shown; it was verified.
    addresses: tuple[str, ...] = ()

    @property
    def may_authenticate(self) -> bool:
        """Whether secrets may be said on this stream."""
        return self.secure or self.plaintext
