"""How clients are secured: the uses of a certificate at an edge, and what is counted of their handshakes."""

from __future__ import annotations

import ssl
from functools import lru_cache
from typing import Final

from rookery.shared.config import Config
from rookery.shared.net.certificates import CertificateStore, Uses
from rookery.shared.net.handshakes import HandshakePool, TlsSocket
from rookery.shared.net.libssl import usable
from rookery.shared.net.tickets import SecretsError, Tickets
from rookery.shared.observe import metrics
from rookery.shared.settings import SettingsError
from rookery.shared.xeps import channel_binding, direct_tls

STARTTLS: Final = "starttls"
#: XEP-0368, and the protocol that its clients offer.
DIRECT: Final = "direct"
ALPN: Final = direct_tls.ALPN_CLIENT
#: HTTPS and WebSocket.
WEB: Final = "web"
USES: Final[Uses] = {STARTTLS: (), DIRECT: (ALPN,), WEB: ("http/1.1",)}
#: To find a label's counter takes longer than to count.
_handshakes: Final = lru_cache(maxsize=64)(metrics.TLS_HANDSHAKES.labels)


def tickets(config: Config) -> Tickets | None:
    """The keys of session tickets; None where none are given. Raises SettingsError when they are asked for and cannot be given."""
    tls = config.tls
    if not tls.ticket_secrets_file:
        return None
    if reason := usable():
        raise SettingsError([f"tls.ticket_secrets_file: no session tickets with this Python: {reason}"])
    binds = config.options(channel_binding.Options).type != "none"
    try:
        return Tickets(tls.ticket_secrets_file, tls.ticket_hours, bound=binds)
    except SecretsError as error:
        raise SettingsError([f"tls.ticket_secrets_file: {error}"]) from None


class ClientTls:
    """Implements `shared.net.security.Security` for one use of the certificates."""

    def __init__(
        self, pool: HandshakePool, certificates: CertificateStore, use: str, *, binds: bool = False
    ) -> None:
        self.pool = pool
        self._binds = binds
        self._certificates = certificates
        self._use = use

    def context(self, name: str) -> ssl.SSLContext | None:
        """The context of a domain; None without any certificate."""
        return self._certificates.context(name, self._use)

    def secured(self, sock: TlsSocket) -> bytes | None:
        """Count the handshake; returns the `tls-server-end-point` of the certificate that was shown, when SASL shall be bound to it."""
        cipher = sock.cipher()
        _handshakes(sock.version() or "", cipher[0] if cipher else "").inc()
        assert isinstance(sock, ssl.SSLSocket)
        if sock.session_reused:
            metrics.TLS_RESUMPTIONS.inc()
        if not self._binds:
            return None
        certificate = self._certificates.of(sock)
        return certificate.binding if certificate is not None else None

    def failed(self, cause: str) -> None:
        """Count a handshake that failed."""
        metrics.TLS_FAILURES.labels(cause).inc()
