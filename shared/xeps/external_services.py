"""XEP-0215: External Service Discovery."""

from __future__ import annotations

import hmac
import re
from base64 import b64encode
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Final, NamedTuple

from rookery.shared.options import Section, about
from rookery.shared.xeps._xep import Context, Target, Xep
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

NS: Final = "urn:xmpp:extdisco:2"
#: The URIs of RFC 7064 and RFC 7065: scheme, host (an IPv6 address in brackets), port, transport.
_URI: Final = re.compile(
    r"(stuns?|turns?):(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?::([0-9]{1,5}))?(?:\?transport=(udp|tcp))?"
)
_PORTS: Final = {"stun": 3478, "turn": 3478, "stuns": 5349, "turns": 5349}


class Service(NamedTuple):
    """One service."""

    type: str
    host: str
    port: int
    transport: str

    @property
    def restricted(self) -> bool:
        """Whether it asks for credentials."""
        return self.type.startswith("turn")


@lru_cache(maxsize=64)
def parse(uri: str) -> Service:
    """The service of a URI of RFC 7064 or RFC 7065. Raises ValueError."""
    found = _URI.fullmatch(uri)
    if found is None:
        raise ValueError(f"{uri!r} is no URI as turn:turn.example.org:3478?transport=udp")
    scheme, host, port, transport = found.groups()
    number = int(port or _PORTS[scheme])
    if not 0 < number < 65_536:
        raise ValueError(f"{uri!r} has no port that there is")
    default = "tcp" if scheme.endswith("s") else "udp"
    return Service(scheme, host.strip("[]"), number, transport or default)


class Options(Section, frozen=True):
    """Servers for calls (STUN, TURN) that clients are told of, with credentials that soon expire."""

    services: Annotated[
        tuple[str, ...],
        about(
            "URIs of RFC 7064 and 7065, as stun:turn.example.org or turn:turn.example.org:3478?transport=udp"
        ),
    ] = ()
    secret: Annotated[
        str,
        about(
            "What is shared with the TURN servers (coturn: `static-auth-secret`); empty: no credentials are given",
            secret=True,
            live=True,
        ),
    ] = ""
    credential_seconds: Annotated[
        int, about("How long credentials for TURN hold", "seconds", ge=60, le=2_592_000)
    ] = 86_400

    def __post_init__(self) -> None:
        for uri in self.services:
            parse(uri)


XEP = Xep(
    215,
    "1.0.0",
    "complete",
    features={Target.DOMAIN: (NS,)},
    options=Options,
    note="STUN and TURN from the configuration, for the domain's own accounts; nothing changes while it runs, so nothing is pushed.",
)


def _mine(iq: Stanza, context: Context) -> Options:
    """The settings; credentials are for the domain's own users. Raises StanzaError."""
    if iq.from_.partition("/")[0].rpartition("@")[2] != context.domain:
        raise StanzaError("forbidden")
    return context.options(Options)


def _element(service: Service, account: str, options: Options, now: float) -> Element:
    attrs = {
        "type": service.type,
        "host": service.host,
        "port": str(service.port),
        "transport": service.transport,
    }
    if service.restricted:
        attrs["restricted"] = "true"
        if options.secret:
            expires = int(now) + options.credential_seconds
            # The form that coturn and others check without asking anybody: HMAC-SHA1 over "expiry:user".
            attrs["username"] = f"{expires}:{account}"
            digest = hmac.digest(options.secret.encode(), attrs["username"].encode(), "sha1")
            attrs["password"] = b64encode(digest).decode()
            attrs["expires"] = datetime.fromtimestamp(expires, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Element(NS, "service", attrs)


@XEP.iq("get", NS, "services", Target.DOMAIN)
def services(iq: Stanza, context: Context) -> Stanza:
    """All services, or those of a type (sections 3.1, 3.2)."""
    options = _mine(iq, context)
    query = iq.find(NS, "services")
    assert query is not None  # the dispatch table matched it
    wanted = query.get("type") or ""
    found = [service for service in map(parse, options.services) if wanted in ("", service.type)]
    account = iq.from_.partition("/")[0]
    children = [_element(service, account, options, context.now) for service in found]
    return iq.result(Element(NS, "services", {"type": wanted} if wanted else None, *children))


@XEP.iq("get", NS, "credentials", Target.DOMAIN)
def credentials(iq: Stanza, context: Context) -> Stanza:
    """Credentials at the services of this host and type (section 3.3)."""
    options = _mine(iq, context)
    asked = iq.find(NS, "credentials")
    assert asked is not None  # the dispatch table matched it
    which = asked.find(NS, "service")
    if which is None or not which.get("host") or not which.get("type"):
        raise StanzaError("bad-request")
    found = [
        service
        for service in map(parse, options.services)
        if service.restricted
        and (service.host, service.type) == (which.get("host"), which.get("type"))
        and which.get("port") in (None, str(service.port))
    ]
    if not found or not options.secret:
        raise StanzaError("item-not-found")
    account = iq.from_.partition("/")[0]
    children = [_element(service, account, options, context.now) for service in found]
    return iq.result(Element(NS, "credentials", None, *children))
