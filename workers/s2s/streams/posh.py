"""POSH (RFC 7711): which certificates a domain says, over HTTPS, that its server may show. For a domain that is hosted elsewhere, whose server has
no certificate in its name.

It is asked only when nobody else vouches for a certificate. Only its own web server, with a valid certificate, speaks for a domain: at an address
that we may connect to, in little time and few octets. The document may name another one (section 4), which must have the fingerprints itself.
"""

from __future__ import annotations

import ssl
import time
from base64 import b64decode
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import msgspec
import trio

from rookery.workers.s2s.streams.dane import Expected, Pin
from rookery.workers.s2s.streams.names import ascii_name

PORT: Final = 443
_PATH: Final = "/.well-known/posh/xmpp-server.json"
#: Octets of a document, fingerprints that are looked at, addresses of a web server that are tried, seconds for all.
MAX_BYTES: Final = 65_536
MAX_FINGERPRINTS: Final = 64
MAX_ADDRESSES: Final = 2
SECONDS: Final = 10.0
#: Documents that are kept, for how long at most, and how long it is remembered that there is none.
CACHED: Final = 2000
LONGEST: Final = 86_400.0
NOTHING_SECONDS: Final = 300.0
#: Names of hashes (section 3.2) and the matching types of TLSA that mean the same.
_HASHES: Final = {"sha-256": (1, 32), "sha-512": (2, 64)}
_NO_MATCH: Final = "it is not one that the domain tells (POSH)"


class _Document(msgspec.Struct):
    """A document: fingerprints, or where they are; `expires` in seconds."""

    expires: int
    fingerprints: list[dict[str, Any]] | None = None
    url: str | None = None


class _Kept(NamedTuple):
    until: float
    expected: Expected | None


class Posh:
    """What domains say. `addresses` gives those of a host that we may connect to, none when there are none."""

    def __init__(self, addresses: Callable[[str], Awaitable[list[str]]], ca_file: str) -> None:
        self._addresses = addresses
        self._ca_file = ca_file
        self._context: ssl.SSLContext | None = None
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    async def expected(self, domain: str) -> Expected | None:
        """The certificates that the servers of a domain may show; None when it says nothing that counts."""
        kept = self._kept.get(domain)
        if kept is None or kept.until <= time.monotonic():
            kept = await self._ask(domain)
            self._kept[domain] = kept
            if len(self._kept) > CACHED:
                self._kept.popitem(last=False)
        self._kept.move_to_end(domain)
        return kept.expected

    async def _ask(self, domain: str) -> _Kept:
        found: _Document | None = None
        with trio.move_on_after(SECONDS):
            found = await self._documents(domain)
        pins = () if found is None else _pins(found.fingerprints or ())
        if found is None or not pins:
            return _Kept(time.monotonic() + NOTHING_SECONDS, None)
        expected = Expected(domain, domain, pins, _NO_MATCH)
        return _Kept(time.monotonic() + min(float(found.expires), LONGEST), expected)

    async def _documents(self, domain: str) -> _Document | None:
        try:
            host = ascii_name(domain)
        except ValueError:
            return None
        found = await self._document(host, PORT, _PATH)
        if found is None or found.url is None:
            return found
        try:
            there = urlsplit(found.url)
            name, port = ascii_name(there.hostname or ""), there.port or 443
        except ValueError:
            return None
        if there.scheme != "https" or there.username or there.password:
            return None
        path = (there.path or "/") + (f"?{there.query}" if there.query else "")
        second = await self._document(name, port, path)
        if second is None or second.url is not None:
            return None  # (one step, section 4)
        return _Document(min(found.expires, second.expires), second.fingerprints)

    async def _document(self, host: str, port: int, path: str) -> _Document | None:
        """A document that says for how long it holds, and one of both things."""
        for address in (await self._addresses(host))[:MAX_ADDRESSES]:
            data = await self._fetch(address, host, port, path)
            if data is None:
                continue
            try:
                found = msgspec.json.decode(data, type=_Document)
            except (msgspec.DecodeError, ValueError):
                return None
            return (
                found
                if found.expires > 0 and (found.url is None) is not (found.fingerprints is None)
                else None
            )
        return None

    async def _fetch(self, address: str, host: str, port: int, path: str) -> bytes | None:
        import httpx  # most processes never ask, and need not carry it

        if self._context is None:
            self._context = ssl.create_default_context()
            if self._ca_file:
                self._context.load_verify_locations(self._ca_file)
        where = f"[{address}]" if ":" in address else address
        said = host if port == 443 else f"{host}:{port}"
        try:
            async with (
                httpx.AsyncClient(verify=self._context, timeout=SECONDS, trust_env=False) as client,
                client.stream(
                    "GET",
                    f"https://{where}:{port}{path}",
                    headers={"host": said, "accept": "application/json", "accept-encoding": "identity"},
                    extensions={"sni_hostname": host},
                ) as answer,
            ):
                data = b""
                async for chunk in answer.aiter_raw():
                    data += chunk
                    if len(data) > MAX_BYTES:
                        return None
                return data if answer.status_code == 200 else None
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError):
            return None


def _pins(fingerprints: list[dict[str, Any]] | tuple[()]) -> tuple[Pin, ...]:
    """Of each certificate the hashes that we know (section 3.2); what is no hash is passed over."""
    pins = []
    for one in fingerprints[:MAX_FINGERPRINTS]:
        for name, (matching, size) in _HASHES.items():
            try:
                digest = b64decode(one.get(name) or "", validate=True)
            except (TypeError, ValueError):
                continue
            if len(digest) == size:
                pins.append(Pin(3, 0, matching, digest))
    return tuple(pins)
