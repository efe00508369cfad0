"""Ways to remote domains that the operator has written down: no DNS is asked for them. No I/O."""

from __future__ import annotations

from collections.abc import Iterable

from rookery.shared.xmpp.errors import JidError
from rookery.shared.xmpp.jid import prepare_domain
from rookery.workers.s2s.streams.records import Record

#: Stands for every domain that has no route of its own.
ANY = "*"


def parse(routes: Iterable[str]) -> dict[str, list[Record]]:
    """`DOMAIN=HOST:PORT`, `DOMAIN=tls:HOST:PORT`, in the order of trying. Raises ValueError with a text for the operator."""
    found: dict[str, list[Record]] = {}
    for text in routes:
        domain, equals, way = text.strip().partition("=")
        if not equals:
            raise ValueError(f"s2s.routes: {text!r} is not DOMAIN=HOST:PORT")
        try:
            name = domain if domain == ANY else prepare_domain(domain)
        except JidError as error:
            raise ValueError(f"s2s.routes: {domain!r} is no domain: {error}") from None
        ways = found.setdefault(name, [])
        ways.append(_record(text, way, len(ways)))
    return found


def _record(text: str, way: str, priority: int) -> Record:
    tls = way.startswith("tls:")
    host, colon, port = way.removeprefix("tls:").rpartition(":")
    if not colon or not host or not (port.isascii() and port.isdigit()) or not 0 < int(port) < 65536:
        raise ValueError(f"s2s.routes: {text!r} has no HOST:PORT")
    return Record(priority, 0, int(port), host.strip("[]"), tls)
