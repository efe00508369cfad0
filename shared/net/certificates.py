"""Certificates and the server's TLS contexts of the hosted domains (RFC 7590, RFC 6120 section 5, XEP-0368).

TLS 1.2 with forward-secret AEAD suites, and TLS 1.3; no renegotiation, compression or early data, tickets only with keys that edges share.
The SNI callback picks the domain's context; files that changed are read again without a restart, and connections keep the context they began with.

What the contexts are for is the owner's: it names its uses, each with the ALPN protocols that it speaks.
"""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

import structlog
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from rookery.shared.config import Tls
from rookery.shared.net.folder import Folder, Stapled, answered, look, other_kind
from rookery.shared.net.identity import Identity
from rookery.shared.net.libssl import Library, usable
from rookery.shared.net.tickets import Tickets
from rookery.shared.xmpp.errors import JidError
from rookery.shared.xmpp.jid import prepare_domain
from rookery.shared.xmpp.sasl.binding import tls_server_end_point

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


class Serving(NamedTuple):
    """What the certificates are for: the uses, who is asked for a certificate, and the keys of tickets."""

    uses: Uses
    asking: Asking = NOBODY
    tickets: Tickets | None = None


class Certificate:
    """One domain's certificate as it was last read: a context for each use, channel binding, expiry."""

    __slots__ = ("binding", "contexts", "domain", "identity", "not_after", "stamp", "two")

    def __init__(self, domain: str, folder: Folder, stamp: tuple[object, ...], serving: Serving) -> None:
        self.domain = domain
        self.identity = folder.first
        self.stamp = stamp
        try:
            leaf = _leaf(folder.first)
            second = None if folder.second is None else _leaf(folder.second)
            if second is not None and not other_kind(leaf, second):
                raise ValueError("the second certificate has the same kind of key as the first")
            self.contexts = {use: _server_context(folder, use, serving) for use in serving.uses}
            if self.contexts and folder.answers:
                self._staple(folder.answers, [leaf] if second is None else [leaf, second])
        except (OSError, ValueError, ssl.SSLError) as error:
            # OpenSSL's text names no secret; the key itself is in none of these messages.
            raise CertificateError(f"certificate of {domain}: {error}") from error
        #: Whether there are two: which of them a client was shown, nothing says.
        self.two = second is not None
        #: The `tls-server-end-point` channel binding (RFC 5929 section 4), None where it is undefined.
        self.binding = None if self.two else tls_server_end_point(leaf.public_bytes(Encoding.DER))
        last = leaf if second is None else min(leaf, second, key=_end)
        self.not_after: datetime = last.not_valid_after_utc

    def _staple(self, paths: Sequence[Path], leaves: Sequence[x509.Certificate]) -> None:
        """Show answers of OCSP. One that cannot be used is told of, and the certificate serves without it."""
        found: dict[bytes, Stapled] = {}
        for path in paths:
            try:
                if reason := usable():
                    raise ValueError(f"not with this Python: {reason}")
                certificate, answer = answered(path, leaves)
                found[certificate] = answer
            except (OSError, ValueError) as error:
                _log.error("ocsp_unusable", file=str(path), reason=str(error)[:500])

        def shown(certificate: bytes) -> bytes | None:
            answer = found.get(certificate)
            return None if answer is None else answer.shown()

        if found:
            for context in self.contexts.values():
                Library().staple(context, shown)

    def expired(self, now: datetime | None = None) -> bool:
        """Whether clients will refuse it by now."""
        return (now or datetime.now(UTC)) >= self.not_after


def harden(context: ssl.SSLContext) -> None:
    """What holds for both sides of every connection."""
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET


def _leaf(identity: Identity) -> x509.Certificate:
    return x509.load_pem_x509_certificates(identity.chain.read_bytes())[0]


def _end(certificate: x509.Certificate) -> datetime:
    return certificate.not_valid_after_utc


def _server_context(folder: Folder, use: str, serving: Serving) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    harden(context)
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE | ssl.OP_SINGLE_ECDH_USE
    context.num_tickets = 0
    folder.first.load(context)
    if folder.second is not None:
        folder.second.load(context)
    if alpn := serving.uses[use]:
        context.set_alpn_protocols(list(alpn))
    if folder.authorities is not None and use in serving.asking.uses:
        context.load_verify_locations(folder.authorities)
        context.verify_mode = ssl.CERT_OPTIONAL
    elif serving.tickets is not None:
        # (A ticket would carry a client's certificate past its authority and its end, so who is asked for one gets none.)
        context.options &= ~ssl.OP_NO_TICKET
        context.num_tickets = 1
        Library().use_tickets(context, serving.tickets, serving.tickets.seconds)
    return context


@lru_cache(maxsize=1024)
def _canonical(name: str) -> str:
    """One form for all that name the same domain: capitals, a full stop at the end, A-labels (RFC 5890) as in an SNI.

    A name that is none stays as it is; "_." before a domain stands for all names one level below it.
    """
    wildcard = "_." if name.startswith("_.") else ""
    try:
        return wildcard + prepare_domain(name.removeprefix(wildcard))
    except JidError:
        return name.lower().rstrip(".")


class CertificateStore:
    """All certificates of `tls.directory`, by domain, with a context for each of `uses`."""

    def __init__(
        self, config: Tls, uses: Uses, asking: Asking = NOBODY, tickets: Tickets | None = None
    ) -> None:
        self._serving = Serving(uses, asking, tickets)
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
        if self._serving.tickets is not None:
            self._serving.tickets.reload()
        changed = 0
        found: set[str] = set()
        for folder in self._folders():
            domain = _canonical(folder.name)
            if domain in found:
                continue  # another form of the same name
            files = look(folder, self._serving.asking.authorities)
            try:
                stamp = files.stamp()
            except OSError:
                continue
            found.add(domain)
            known = self._known.get(domain)
            if (known is not None and known.stamp == stamp) or self._broken.get(domain) == stamp:
                continue
            try:
                self._known[domain] = Certificate(domain, files, stamp, self._serving)
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
            **dict(list(older.items())[-len(self._serving.uses) * (len(self._known) + 1) :]),
            **current,
        }
        tickets = self._serving.tickets
        if tickets is not None and tickets.bound:
            # A login that is bound to a certificate must not come by a ticket that was given with another one.
            digest = hashlib.sha256()
            for domain, known in sorted(self._known.items()):
                digest.update(domain.encode() + b"\0" + (known.binding or b""))
            tickets.limit(digest.digest())

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
