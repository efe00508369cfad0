"""Finding the servers of a domain: routes, then SRV records of both kinds, then the domain itself (RFC 6120 section 3.2, XEP-0368).

dnspython asks, on trio; answers are kept as long as their TTL says, refusals as long as their SOA says. Addresses of networks that are denied, and
of this machine itself, are left out: a remote domain does not choose whom we connect to.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Awaitable, Callable
from functools import partial
from ipaddress import ip_address
from typing import Final, TypeVar

import dns.asyncresolver
import dns.exception
import dns.rdatatype
import dns.resolver
import trio
from dns.rdtypes.IN.SRV import SRV

from rookery.shared.config import S2s
from rookery.shared.net.addresses import Nets, parse_address
from rookery.workers.s2s.streams import routes
from rookery.workers.s2s.streams.api import Trouble
from rookery.workers.s2s.streams.names import ascii_name
from rookery.workers.s2s.streams.records import DEFAULT_PORT, Record, interleave, order

#: Questions of one process at once, and answers that it keeps.
QUESTIONS: Final = 2048
CACHED: Final = 20_000
#: More servers of one domain, and more addresses of one server, are not looked at.
MAX_RECORDS: Final = 16
MAX_ADDRESSES: Final = 8
_SERVICES: Final = (("_xmpps-server._tcp.", True), ("_xmpp-server._tcp.", False))
_NOT_FOUND: Final = "remote-server-not-found"
T = TypeVar("T")


class NotFoundError(Exception):
    """There is no way to a domain now; `trouble` says why."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.text)
        self.trouble = trouble


class _Empty(Exception):  # noqa: N818  an answer, not an error
    """There is no such record. `name`: there is not even such a name."""

    def __init__(self, *, name: bool) -> None:
        super().__init__()
        self.name = name


class Finder:
    """See the module's text. Raises ValueError for settings that cannot be used."""

    def __init__(self, settings: S2s) -> None:
        self._seconds = settings.dns_seconds
        self._routes = routes.parse(settings.routes)
        self._denied = Nets(settings.deny_nets)
        self._allowed = Nets(settings.allow_nets)
        self._resolver: dns.asyncresolver.Resolver | None = None
        self._where = settings.resolver
        self._limiter = trio.CapacityLimiter(QUESTIONS)
        if self._where:
            self._configured()

    def _configured(self) -> dns.asyncresolver.Resolver:
        if self._resolver is None:
            # Without the setting the system's file is read at the first question: a machine without one may need no DNS.
            try:
                resolver = dns.asyncresolver.Resolver(configure=not self._where)
            except dns.exception.DNSException as error:
                raise NotFoundError(
                    Trouble(_NOT_FOUND, f"no resolver: {error}", False, "dns-servfail")
                ) from None
            if self._where:
                host, colon, port = self._where.rpartition(":")
                if not colon or parse_address(host.strip("[]")) is None or not port.isdigit():
                    raise ValueError("s2s.resolver is an address with a port, as 127.0.0.1:53")
                resolver.nameservers = [host.strip("[]")]
                resolver.port = int(port)
            resolver.lifetime = self._seconds
            resolver.timeout = min(2.0, self._seconds)
            resolver.cache = dns.resolver.LRUCache(CACHED)
            self._resolver = resolver
        return self._resolver

    def routed(self, domain: str) -> bool:
        """Whether the operator has written the way down."""
        return domain in self._routes or routes.ANY in self._routes

    # --- servers ---

    async def servers(self, domain: str) -> list[Record]:
        """The servers of a prepared domain, in the order of trying. Raises NotFoundError."""
        written = self._routes.get(domain) or self._routes.get(routes.ANY)
        if written is not None:
            return written
        literal = domain.strip("[]")
        if parse_address(literal) is not None:
            return [Record(0, 0, DEFAULT_PORT, literal)]
        try:
            name = ascii_name(domain)
        except ValueError as error:
            raise NotFoundError(Trouble(_NOT_FOUND, str(error), True, "dns-nxdomain")) from None
        found: list[Record] = []
        outcomes: list[Exception] = []

        async def ask(prefix: str, tls: bool) -> None:
            try:
                found.extend(await self._services(prefix + name, tls))
            except (_Empty, NotFoundError) as outcome:
                outcomes.append(outcome)

        async with trio.open_nursery() as nursery:
            for prefix, tls in _SERVICES:
                nursery.start_soon(ask, prefix, tls)
        servers = order(found, partial(random.randint, 0))[:MAX_RECORDS]
        if servers:
            return servers
        for outcome in outcomes:
            if isinstance(outcome, NotFoundError):
                raise outcome
        if found or len(outcomes) < len(_SERVICES):
            raise NotFoundError(Trouble(_NOT_FOUND, "it says that it has no server", True, "dns-none"))
        return [Record(0, 0, DEFAULT_PORT, name)]

    async def _services(self, name: str, tls: bool) -> list[Record]:
        answer = await self._ask(name, dns.rdatatype.SRV)
        return [
            Record(data.priority, data.weight, data.port, data.target.to_text(omit_final_dot=True).lower().removesuffix("."), tls)
            for data in answer.rrset or ()
            if isinstance(data, SRV)
        ]  # fmt: skip

    # --- addresses ---

    async def addresses(self, host: str, *, routed: bool) -> list[str]:
        """Addresses of a server, both families by turns. Raises NotFoundError when there are none that we may connect to."""
        if parse_address(host) is not None:
            found = [host]
        elif routed:
            found = await _system(host)
        else:
            found = await self._both(host)
        if not routed:
            allowed = [address for address in found if self._may(address)]
            if found and not allowed:
                raise NotFoundError(
                    Trouble(_NOT_FOUND, f"{host} is in a network that is denied", True, "policy")
                )
            found = allowed
        if not found:
            raise NotFoundError(Trouble(_NOT_FOUND, f"{host} has no address", True, "dns-nxdomain"))
        return found[:MAX_ADDRESSES]

    async def _both(self, host: str) -> list[str]:
        found: dict[dns.rdatatype.RdataType, list[str]] = {}
        troubles: list[NotFoundError] = []

        async def ask(type: dns.rdatatype.RdataType) -> None:
            try:
                answer = await self._ask(host, type)
            except _Empty:
                return
            except NotFoundError as error:
                troubles.append(error)
                return
            found[type] = [data.to_text() for data in answer.rrset or ()]

        async with trio.open_nursery() as nursery:
            for type in (dns.rdatatype.AAAA, dns.rdatatype.A):
                nursery.start_soon(ask, type)
        addresses = interleave(found.get(dns.rdatatype.AAAA, []), found.get(dns.rdatatype.A, []))
        if not addresses and troubles:
            raise troubles[0]
        return addresses

    def _may(self, host: str) -> bool:
        if host in self._allowed:
            return True
        return host not in self._denied and not is_own(host)

    async def _ask(self, name: str, type: dns.rdatatype.RdataType) -> dns.resolver.Answer:
        """One question; aliases are followed by the resolver. Raises _Empty, NotFoundError."""
        resolver = self._configured()
        try:
            async with self._limiter:
                return await _given(lambda: resolver.resolve(name + ".", type, search=False))
        except dns.resolver.NXDOMAIN:
            raise _Empty(name=False) from None
        except dns.resolver.NoAnswer:
            raise _Empty(name=True) from None
        except dns.exception.Timeout:
            trouble = Trouble(
                "remote-server-timeout", f"no answer of the DNS about {name}", False, "dns-timeout"
            )
            raise NotFoundError(trouble) from None
        except (dns.exception.DNSException, OSError, EOFError, UnicodeError, ValueError) as error:
            text = f"the DNS fails for {name}: {type_name(error)}"
            raise NotFoundError(Trouble("remote-server-timeout", text, False, "dns-servfail")) from None


def type_name(error: BaseException) -> str:
    """What it is, without what a stranger may have written into it."""
    return type(error).__name__


async def _given(question: Callable[[], Awaitable[T]]) -> T:
    return await question()


async def _system(host: str) -> list[str]:
    """A host of a route may be known to this machine only (/etc/hosts)."""
    try:
        found = await trio.socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return list(dict.fromkeys(str(each[4][0]) for each in found))


def is_own(host: str) -> bool:
    """Whether an address is one of this machine: only those can be bound."""
    try:
        family = socket.AF_INET6 if ip_address(host).version == 6 else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.bind((host, 0))
    except (OSError, ValueError):
        return False
    return True
