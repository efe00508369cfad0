"""Asking for TLSA records: only answers count that the resolver has validated (DNSSEC), and only where the operator trusts it and the way to it.

dnspython asks, since c-ares does not tell what was validated. Whoever does not use this setting asks nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import dns.asyncresolver
import dns.exception
import dns.flags
import dns.rdatatype
import dns.resolver

from rookery.workers.s2s.streams.dane import Expected, Pin
from rookery.workers.s2s.streams.names import ascii_name
from rookery.workers.s2s.streams.records import Record

#: More records of one server are not looked at; answers that are kept.
MAX_PINS: Final = 16
CACHED: Final = 2000
_PAYLOAD: Final = 1232


class Pins:
    """The validated word of a resolver: one at `where` (ADDRESS:PORT), or those of the system."""

    def __init__(self, where: str, seconds: float) -> None:
        self._where = where
        self._seconds = seconds
        self._resolver: dns.asyncresolver.Resolver | None = None

    async def expected(self, domain: str, server: Record) -> Expected | None:
        """What is said of this server of a domain; None when nothing is, or nothing that was validated: then PKIX decides."""
        service = "_xmpps-server._tcp." if server.tls else "_xmpp-server._tcp."
        try:
            name = ascii_name(domain)
        except ValueError:
            return None
        if server.target != name and await self._validated(service + name, "SRV") is None:
            return None
        found = await self._validated(f"_{server.port}._tcp.{server.target}", "TLSA")
        pins = [Pin(one.usage, one.selector, one.mtype, bytes(one.cert)) for one in (found or ())[:MAX_PINS]]
        usable = tuple(pin for pin in pins if pin.usable)
        return Expected(domain, server.target, usable) if usable else None

    async def _validated(self, name: str, kind: str) -> Sequence[Any] | None:
        try:
            answer = await self._asker().resolve(name + ".", kind, search=False)
        except (dns.exception.DNSException, OSError, EOFError, UnicodeError, ValueError):
            return None
        if not answer.response.flags & dns.flags.AD:
            return None
        return list(answer.rrset or ())

    def _asker(self) -> dns.asyncresolver.Resolver:
        if self._resolver is None:
            made = dns.asyncresolver.Resolver(configure=not self._where)
            if self._where:
                host, _, port = self._where.rpartition(":")
                made.nameservers, made.port = [host.strip("[]")], int(port)
            made.lifetime = self._seconds
            made.timeout = min(2.0, self._seconds)
            made.use_edns(0, dns.flags.DO, _PAYLOAD)
            made.flags = dns.flags.RD | dns.flags.AD
            made.cache = dns.resolver.LRUCache(CACHED)
            self._resolver = made
        return self._resolver
