"""Finding the servers of a domain: routes, then SRV records of both kinds, then the domain itself (RFC 6120 section 3.2, XEP-0368).

`questions` asks, and keeps the answers. Addresses of networks that are denied, and of this machine itself, are left out: a remote domain does
not choose whom we connect to.
"""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Sequence
from functools import lru_cache, partial
from ipaddress import ip_address
from typing import Any, Final

import trio

from rookery.shared.config import S2s
from rookery.shared.net.addresses import Nets, parse_address
from rookery.workers.s2s.streams import questions, routes
from rookery.workers.s2s.streams.api import Trouble
from rookery.workers.s2s.streams.dane import Expected
from rookery.workers.s2s.streams.names import ascii_name
from rookery.workers.s2s.streams.pins import Pins
from rookery.workers.s2s.streams.questions import DnsError, EmptyError, Questions
from rookery.workers.s2s.streams.records import DEFAULT_PORT, Record, interleave, order

#: Questions of one process at once.
QUESTIONS: Final = 2048
#: More servers of one domain, and more addresses of one server, are not looked at.
MAX_RECORDS: Final = 16
MAX_ADDRESSES: Final = 8
_SERVICES: Final = (("_xmpps-server._tcp.", True), ("_xmpp-server._tcp.", False))
#: How long an address counts as one of this machine, or not.
_OWN_SECONDS: Final = 60.0
_NOT_FOUND: Final = "remote-server-not-found"


class NotFoundError(Exception):
    """There is no way to a domain now; `trouble` says why."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.text)
        self.trouble = trouble


#: The records of a question, or why there are none.
_Answer = Sequence[Any] | EmptyError | NotFoundError


class Finder:
    """See the module's text. Raises ValueError for settings that cannot be used."""

    def __init__(self, settings: S2s) -> None:
        self._routes = routes.parse(settings.routes)
        self._denied = Nets(settings.deny_nets)
        self._allowed = Nets(settings.allow_nets)
        self._limiter = trio.CapacityLimiter(QUESTIONS)
        host, colon, port = settings.resolver.rpartition(":")
        if settings.resolver and not (
            colon and parse_address(host.strip("[]")) is not None and port.isdigit()
        ):
            raise ValueError("s2s.resolver is an address with a port, as 127.0.0.1:53")
        self._questions = Questions(settings.resolver, settings.dns_seconds)
        self._pins = Pins(settings.resolver, settings.dns_seconds) if settings.trust_dnssec else None

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
        told = await self._all([(prefix + name, questions.SRV) for prefix, _ in _SERVICES])
        for answer, (_, tls) in zip(told, _SERVICES, strict=True):
            if isinstance(answer, Exception):
                outcomes.append(answer)
            else:
                found += [_record(data, tls) for data in answer]
        servers = order(found, partial(random.randint, 0))[:MAX_RECORDS]
        if servers:
            return servers
        for outcome in outcomes:
            if isinstance(outcome, NotFoundError):
                raise outcome
        if found or len(outcomes) < len(_SERVICES):
            raise NotFoundError(Trouble(_NOT_FOUND, "it says that it has no server", True, "dns-none"))
        return [Record(0, 0, DEFAULT_PORT, name)]

    async def expected(self, domain: str, server: Record) -> Expected | None:
        """What the DNS, validated, says of the certificate of a server (DANE); None when nothing, or when it is not trusted with that."""
        if self._pins is None or self.routed(domain):
            return None
        return await self._pins.expected(domain, server)

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

    async def open_addresses(self, host: str) -> list[str]:
        """Those of any host that we may connect to; none when there are none."""
        try:
            return await self.addresses(host, routed=False)
        except NotFoundError:
            return []

    async def _both(self, host: str) -> list[str]:
        found: list[list[str]] = []
        troubles: list[NotFoundError] = []
        for answer in await self._all([(host, questions.AAAA), (host, questions.A)]):
            found.append([] if isinstance(answer, Exception) else [data.addr for data in answer])
            if isinstance(answer, NotFoundError):
                troubles.append(answer)
        addresses = interleave(*found)
        if not addresses and troubles:
            raise troubles[0]
        return addresses

    def _may(self, host: str) -> bool:
        if host in self._allowed:
            return True
        return host not in self._denied and not is_own(host)

    async def _all(self, asked: Sequence[tuple[str, int]]) -> list[_Answer]:
        """The answers to these questions, in their order. What is known costs neither a task nor a turn of the loop: most attempts are repeated."""
        answers: list[_Answer | None] = [self._known(*question) for question in asked]
        unknown = [place for place, answer in enumerate(answers) if answer is None]

        async def ask(place: int) -> None:
            answers[place] = await self._ask(*asked[place])

        if len(unknown) == 1:
            await ask(unknown[0])
        elif unknown:
            async with trio.open_nursery() as nursery:
                for place in unknown:
                    nursery.start_soon(ask, place)
        return [answer for answer in answers if answer is not None]

    def _known(self, name: str, kind: int) -> _Answer | None:
        try:
            return self._questions.known(name, kind)
        except EmptyError as error:
            return error

    async def _ask(self, name: str, kind: int) -> _Answer:
        """One question; aliases are followed by the resolver."""
        try:
            async with self._limiter:
                return await self._questions.ask(name, kind)
        except EmptyError as error:
            return error
        except DnsError as error:
            text = (
                f"no answer of the DNS about {name}" if error.silent else f"the DNS fails for {name}: {error}"
            )
            how = "dns-timeout" if error.silent else "dns-servfail"
            return NotFoundError(Trouble("remote-server-timeout", text, False, how))


def _record(data: Any, tls: bool) -> Record:
    return Record(data.priority, data.weight, data.port, data.target.lower().removesuffix("."), tls)


async def _system(host: str) -> list[str]:
    """A host of a route may be known to this machine only (/etc/hosts)."""
    try:
        found = await trio.socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return list(dict.fromkeys(str(each[4][0]) for each in found))


def is_own(host: str) -> bool:
    """Whether an address is one of this machine: only those can be bound. Believed for a minute."""
    return _bindable(host, int(time.monotonic() / _OWN_SECONDS))


@lru_cache(maxsize=4096)
def _bindable(host: str, _minute: int) -> bool:
    try:
        family = socket.AF_INET6 if ip_address(host).version == 6 else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.bind((host, 0))
    except (OSError, ValueError):
        return False
    return True
