"""TLS with other servers: what we show, and what the other side's certificate proves. Implements `shared.net.security.Security`."""

from __future__ import annotations

from typing import Final

from rookery.shared.config import S2s
from rookery.shared.net.certificates import Certificate, CertificateStore
from rookery.shared.net.handshakes import HandshakePool, TlsSocket
from rookery.shared.net.openssl import Authorities, Context, Socket, leads_to
from rookery.workers.s2s.streams import names
from rookery.workers.s2s.streams.dane import Expected, judge
from rookery.workers.s2s.streams.proof import NOTHING, Proof

#: XEP-0368 section 4.
ALPN: Final = "xmpp-server"


class Tls:
    """Contexts for each certificate of ours. Raises OSError or ValueError for `s2s.ca_file`."""

    def __init__(self, pool: HandshakePool, certificates: CertificateStore, settings: S2s) -> None:
        self.pool = pool
        self._certificates = certificates
        self._authorities = Authorities(settings.ca_file)
        self._contexts: dict[tuple[Certificate | None, bool, bool], Context] = {}
        #: Handshakes that ended well and not, for metrics.
        self.done = 0
        self.failures = 0

    def __bool__(self) -> bool:
        return len(self._certificates) > 0

    def context(self, name: str) -> Context | None:
        """For the server's side at a domain (STARTTLS); None when there is no certificate."""
        certificate = self._certificates.find(name)
        return None if certificate is None else self._context(certificate, direct=False)

    def direct(self) -> Context | None:
        """For the server's side when TLS comes first; the name that the other side asks for picks the certificate."""
        certificate = self._certificates.default
        return None if certificate is None else self._context(certificate, direct=True)

    def offer(self, local: str, *, direct: bool) -> Context:
        """For our side as client, with the certificate of `local` if there is one.

        It has no choice of certificates: OpenSSL would ask for that on the client's side, too, by the other side's name.
        """
        return self._context(self._certificates.find(local), direct=direct, chooses=False)

    def same(self, local: str, other: str) -> bool:
        """Whether two domains of ours show the same certificate."""
        return self._certificates.find(local) is self._certificates.find(other)

    def _context(self, certificate: Certificate | None, *, direct: bool, chooses: bool = True) -> Context:
        found = self._contexts.get((certificate, direct, chooses))
        if found is None:
            if len(self._contexts) > 4 * len(self._certificates) + 8:
                # Certificates that were replaced; connections keep what they began with.
                self._contexts.clear()
            identity = None if certificate is None else certificate.identity
            found = Context((ALPN,) if direct else (), identity)
            self._contexts[certificate, direct, chooses] = found
            if chooses:
                found.choose(lambda name: self._named(name, direct=direct))
        return found

    def _named(self, name: str, *, direct: bool) -> Context | None:
        certificate = self._certificates.find(name)
        return None if certificate is None else self._context(certificate, direct=direct)

    def secured(self, sock: TlsSocket) -> bytes | None:
        """A handshake is done."""
        self.done += 1
        return None

    def failed(self, cause: str) -> None:
        """A handshake failed."""
        self.failures += 1

    def proof(self, sock: object, expected: Expected | None = None) -> Proof:
        """What the other side has shown; `expected`: what the DNS says of it, which then decides alone."""
        if not isinstance(sock, Socket):
            return NOTHING
        presented = sock.presented()
        if not presented:
            return NOTHING
        shown = [each.to_cryptography() for each in presented]
        found = names.read(shown[0])
        if expected is not None:
            return judge(shown, found, expected, lambda authority: leads_to(authority, presented))
        return Proof(found, self._authorities.verify(presented))
