"""Certificates and the server's TLS contexts of the hosted domains (RFC 7590, RFC 6120 section 5, XEP-0368).

TLS 1.2 with forward-secret AEAD suites, and TLS 1.3; no renegotiation, compression, tickets or early data. The SNI callback picks the
domain's context; files that changed are read again without a restart, and connections keep the context they began with.

What the contexts are for is the owner's: it names its uses, each with the ALPN protocols that it speaks.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import structlog
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from rookery.shared.config import Tls
from rookery.shared.net.identity import Identity
from rookery.shared.xmpp.errors import JidError
from rookery.shared.xmpp.jid import prepare_domain
from rookery.shared.xmpp.sasl.binding import tls_server_end_point

CHAIN: Final = "fullchain.pem"
KEY: Final = "privkey.pem"
_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
_log = structlog.get_logger()
#: The name of each use of a certificate, and the ALPN protocols of its context (none: whatever the client offers).
Uses = Mapping[str, tuple[str, ...]]


class CertificateError(Exception):
    """A certificate or key cannot be used; the text says which and why."""


class Asking(NamedTuple):
    """Whose certificates are asked for in which uses: clients need not have one, but it has to be by one of these authorities."""

    authorities: Path | None = None
    uses: frozenset[str] = frozenset()


NOBODY: Final = Asking()


class Certificate:
    """One domain's certificate as it was last read: a context for each use, channel binding, expiry."""

    __slots__ = ("binding", "contexts", "domain", "identity", "not_after", "stamp")

    def __init__(
        self, domain: str, identity: Identity, stamp: tuple[object, ...], uses: Uses, asking: Asking
    ) -> None:
        self.domain = domain
        self.identity = identity
        self.stamp = stamp
        try:
            leaf = x509.load_pem_x509_certificates(identity.chain.read_bytes())[0]
            self.contexts = {
                use: _server_context(identity, alpn, asking.authorities if use in asking.uses else None)
                for use, alpn in uses.items()
            }
        except (OSError, ValueError, ssl.SSLError) as error:
            # OpenSSL's text names no secret; the key itself is in none of these messages.
            raise CertificateError(f"certificate of {domain}: {error}") from error
        #: The `tls-server-end-point` channel binding (RFC 5929 section 4), None where it is undefined.
        self.binding = tls_server_end_point(leaf.public_bytes(Encoding.DER))
        self.not_after: datetime = leaf.not_valid_after_utc

    def expired(self, now: datetime | None = None) -> bool:
        """Whether clients will refuse it by now."""
        return (now or datetime.now(UTC)) >= self.not_after


def harden(context: ssl.SSLContext) -> None:
    """What holds for both sides of every connection."""
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET


def _server_context(
    identity: Identity, alpn: tuple[str, ...], authorities: Path | None = None
) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    harden(context)
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE | ssl.OP_SINGLE_ECDH_USE
    context.num_tickets = 0
    identity.load(context)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if authorities is not None:
        context.load_verify_locations(authorities)
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def _canonical(name: str) -> str:
    """One form for all that name the same domain: capitals, a full stop at the end, A-labels (RFC 5890) as in an SNI.

    A name that is none stays as it is; "_." before a domain stands for all names one level below it.
    """
    wildcard = "_." if name.startswith("_.") else ""
    try:
        return wildcard + prepare_domain(name.removeprefix(wildcard))
    except JidError:
        return name.lower().rstrip(".")


def _stamp(identity: Identity, authorities: Path | None) -> tuple[object, ...]:
    # Kubernetes swaps a symlink: the inode behind it changes, so follow it.
    paths = [*identity, *(() if authorities is None else (authorities,))]
    return tuple((s.st_ino, s.st_size, s.st_mtime_ns) for s in (os.stat(path) for path in paths))


class CertificateStore:
    """All certificates of `tls.directory`, by domain, with a context for each of `uses`."""

    def __init__(self, config: Tls, uses: Uses, asking: Asking = NOBODY) -> None:
        self._uses = uses
        self._asking = asking
        self._directory = Path(config.directory) if config.directory else None
        self._default_domain = _canonical(config.default_domain) if config.default_domain else ""
        self._known: dict[str, Certificate] = {}
        self._by_context: dict[ssl.SSLContext, Certificate] = {}
        self._broken: dict[str, tuple[object, ...]] = {}
        self.default: Certificate | None = None

    def reload(self) -> int:
        """Read what is new or changed; returns how many. A file that cannot be used is logged once and the old one kept."""
        if self._directory is None:
            return 0
        changed = 0
        found: set[str] = set()
        for folder in self._folders():
            domain = _canonical(folder.name)
            if domain in found:
                continue  # another form of the same name
            identity = Identity(folder / CHAIN, folder / KEY)
            try:
                stamp = _stamp(identity, self._asking.authorities)
            except OSError:
                continue
            found.add(domain)
            known = self._known.get(domain)
            if (known is not None and known.stamp == stamp) or self._broken.get(domain) == stamp:
                continue
            try:
                self._known[domain] = Certificate(domain, identity, stamp, self._uses, self._asking)
            except CertificateError as error:
                self._broken[domain] = stamp
                _log.error("certificate_unusable", domain=domain, reason=str(error)[:500])
                continue
            self._broken.pop(domain, None)
            changed += 1
        for domain in self._known.keys() - found:
            del self._known[domain]
            changed += 1
        if changed:
            self._arrange()
        return changed

    def _folders(self) -> list[Path]:
        assert self._directory is not None
        try:
            return sorted(path for path in self._directory.iterdir() if path.is_dir() and path.name[0] != ".")
        except OSError as error:
            _log.error("certificate_directory_unreadable", reason=error.strerror)
            return []

    def _arrange(self) -> None:
        self.default = self._known.get(self._default_domain) or next(iter(self._known.values()), None)
        current: dict[ssl.SSLContext, Certificate] = {}
        for certificate in self._known.values():
            for use, context in certificate.contexts.items():
                context.sni_callback = _Sni(self, use)
                current[context] = certificate
        # A handshake that is under way may still end with a context that was replaced: keep one generation.
        older = {c: cert for c, cert in self._by_context.items() if self._known.get(cert.domain) is not cert}
        self._by_context = {
            **dict(list(older.items())[-len(self._uses) * (len(self._known) + 1) :]),
            **current,
        }

    def prefer(self, domain: str) -> None:
        """Serve `domain`'s certificate by default unless the configuration names another (the first hosted domain)."""
        if not self._default_domain and domain in self._known:
            self.default = self._known[domain]

    def find(self, domain: str | None) -> Certificate | None:
        """The certificate of a domain, or of a wildcard folder `_.example.org`, or the default."""
        if domain:
            name = _canonical(domain)
            found = self._known.get(name) or self._known.get("_." + name.partition(".")[2])
            if found is not None:
                return found
        return self.default

    def context(self, domain: str | None, use: str) -> ssl.SSLContext | None:
        """The server's context of a domain (or of the default) for one use; the SNI may still change it."""
        found = self.find(domain)
        return None if found is None else found.contexts[use]

    def of(self, sock: ssl.SSLSocket | ssl.SSLObject) -> Certificate | None:
        """The certificate that a connection was served."""
        return self._by_context.get(sock.context)

    def __iter__(self) -> Iterator[Certificate]:
        return iter(self._known.values())

    def __len__(self) -> int:
        return len(self._known)


class _Sni:
    """OpenSSL's server name callback: swap to the context of the domain that the client asks for."""

    def __init__(self, store: CertificateStore, use: str) -> None:
        self._store = store
        self._use = use

    def __call__(
        self, sock: ssl.SSLSocket | ssl.SSLObject, name: str | None, _context: ssl.SSLContext
    ) -> int | None:
        if name:
            context = self._store.context(name, self._use)
            if context is not None and context is not sock.context:
                sock.context = context
        return None
