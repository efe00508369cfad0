"""Certificates and TLS contexts of the hosted domains (RFC 7590, RFC 6120 section 5, XEP-0368).

TLS 1.2 with forward-secret AEAD suites, and TLS 1.3; no renegotiation, compression, tickets or early data. The SNI callback picks the
domain's context; files that changed are read again without a restart, and connections keep the context they began with.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

import structlog
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from rookery.edge.handshakes import HandshakePool
from rookery.shared.config import Tls
from rookery.shared.observe import metrics
from rookery.shared.xeps import direct_tls
from rookery.shared.xmpp.sasl.binding import tls_server_end_point

ALPN: Final = direct_tls.ALPN_CLIENT
CHAIN: Final = "fullchain.pem"
KEY: Final = "privkey.pem"
_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
#: To find a label's counter takes longer than to count.
_handshakes: Final = lru_cache(maxsize=64)(metrics.TLS_HANDSHAKES.labels)
_log = structlog.get_logger()


class CertificateError(Exception):
    """A certificate or key cannot be used; the text says which and why."""


class Certificate:
    """One domain's certificate as it was last read: contexts, channel binding, expiry."""

    __slots__ = ("binding", "context", "direct", "domain", "not_after", "stamp", "web")

    def __init__(self, domain: str, chain: Path, key: Path, stamp: tuple[object, ...]) -> None:
        self.domain = domain
        self.stamp = stamp
        try:
            leaf = x509.load_pem_x509_certificates(chain.read_bytes())[0]
            #: For STARTTLS, for direct TLS (with ALPN), and for HTTPS and WebSocket.
            self.context = _context(chain, key, ())
            self.direct = _context(chain, key, (ALPN,))
            self.web = _context(chain, key, ("http/1.1",))
        except (OSError, ValueError, ssl.SSLError) as error:
            # OpenSSL's text names no secret; the key itself is in none of these messages.
            raise CertificateError(f"certificate of {domain}: {error}") from error
        #: The `tls-server-end-point` channel binding (RFC 5929 section 4), None where it is undefined.
        self.binding = tls_server_end_point(leaf.public_bytes(Encoding.DER))
        self.not_after: datetime = leaf.not_valid_after_utc

    def expired(self, now: datetime | None = None) -> bool:
        """Whether clients will refuse it by now."""
        return (now or datetime.now(UTC)) >= self.not_after


def _no_password() -> bytes:
    # Without a callback OpenSSL asks on the terminal for the password of an encrypted key.
    return b""


def _context(chain: Path, key: Path, alpn: tuple[str, ...]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.options |= (
        ssl.OP_NO_COMPRESSION
        | ssl.OP_NO_RENEGOTIATION
        | ssl.OP_NO_TICKET
        | ssl.OP_CIPHER_SERVER_PREFERENCE
        | ssl.OP_SINGLE_ECDH_USE
    )
    context.num_tickets = 0
    context.load_cert_chain(chain, key, password=_no_password)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


def _stamp(*paths: Path) -> tuple[object, ...]:
    # Kubernetes swaps a symlink: the inode behind it changes, so follow it.
    return tuple((s.st_ino, s.st_size, s.st_mtime_ns) for s in (os.stat(path) for path in paths))


class CertificateStore:
    """All certificates of `tls.directory`, by domain."""

    def __init__(self, config: Tls) -> None:
        self._directory = Path(config.directory) if config.directory else None
        self._default_domain = config.default_domain
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
            domain = folder.name.lower()
            chain, key = folder / CHAIN, folder / KEY
            try:
                stamp = _stamp(chain, key)
            except OSError:
                continue
            found.add(domain)
            known = self._known.get(domain)
            if (known is not None and known.stamp == stamp) or self._broken.get(domain) == stamp:
                continue
            try:
                self._known[domain] = Certificate(domain, chain, key, stamp)
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
            for kind in ("context", "direct", "web"):
                context: ssl.SSLContext = getattr(certificate, kind)
                context.sni_callback = _Sni(self, kind)
                current[context] = certificate
        # A handshake that is under way may still end with a context that was replaced: keep one generation.
        older = {c: cert for c, cert in self._by_context.items() if self._known.get(cert.domain) is not cert}
        self._by_context = {**dict(list(older.items())[-3 * len(self._known) - 3 :]), **current}

    def prefer(self, domain: str) -> None:
        """Serve `domain`'s certificate by default unless the configuration names another (the first hosted domain)."""
        if not self._default_domain and domain in self._known:
            self.default = self._known[domain]

    def find(self, domain: str | None) -> Certificate | None:
        """The certificate of a domain, or of a wildcard folder `_.example.org`, or the default."""
        if domain:
            name = domain.lower().rstrip(".")
            found = self._known.get(name) or self._known.get("_." + name.partition(".")[2])
            if found is not None:
                return found
        return self.default

    def of(self, sock: ssl.SSLSocket | ssl.SSLObject) -> Certificate | None:
        """The certificate that a connection was served."""
        return self._by_context.get(sock.context)

    def __iter__(self) -> Iterator[Certificate]:
        return iter(self._known.values())

    def __len__(self) -> int:
        return len(self._known)


class _Sni:
    """OpenSSL's server name callback: swap to the context of the domain that the client asks for."""

    def __init__(self, store: CertificateStore, kind: str) -> None:
        self._store = store
        self._kind = kind

    def __call__(
        self, sock: ssl.SSLSocket | ssl.SSLObject, name: str | None, _context: ssl.SSLContext
    ) -> int | None:
        if name:
            found = self._store.find(name)
            if found is not None and (context := getattr(found, self._kind)) is not sock.context:
                sock.context = context
        return None


def count(sock: ssl.SSLSocket) -> None:
    """A handshake is done."""
    cipher = sock.cipher()
    _handshakes(sock.version() or "", cipher[0] if cipher else "").inc()


class TlsSide(NamedTuple):
    """What a server's side of TLS needs."""

    pool: HandshakePool
    certificates: CertificateStore
