"""Who may come to the admin port by which way: TLS with certificates of operators, or this machine.

The port speaks both on one number: a first byte tells which. What a request shows beside (a token) is asked later, by whoever answers it.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog
import trio

from rookery.shared.config import Admin
from rookery.shared.net.addresses import Nets
from rookery.shared.net.certificates import harden
from rookery.shared.net.identity import Identity
from rookery.shared.net.secured import Secured
from rookery.shared.observe.admin import may_read
from rookery.shared.observe.http import ListenError, Way
from rookery.shared.observe.requests import Request, Response

_log = structlog.get_logger()
_HANDSHAKE: Final = 0x16
#: From the first byte to the end of the handshake.
_SECONDS: Final = 10.0


class Guard:
    """The door of one admin port. Raises ListenError when its files cannot be used."""

    def __init__(self, settings: Admin) -> None:
        self._settings = settings
        self._plain = Nets(settings.plaintext_nets)
        self._context: ssl.SSLContext | None = None
        self._stamp: tuple[object, ...] = ()
        if settings.certificate_file:
            try:
                self._stamp = self._look()
                self._context = self._made()
            except (OSError, ssl.SSLError) as error:
                raise ListenError(f"admin.certificate_file: {error}: it needs admin.key_file, both PEM") from error  # fmt: skip

    # --- connections ---

    async def __call__(self, stream: trio.SocketStream, peer: str) -> Way | None:
        """How a client has come; None for one that may not come in at all."""
        if self._context is None:
            return Way(stream)
        with trio.move_on_after(_SECONDS):
            try:
                first = await stream.socket.recv(1, socket.MSG_PEEK)
                if not first:
                    return None
                if first[0] != _HANDSHAKE:
                    return Way(stream) if peer in self._plain else None
                secured = Secured(stream, self._context)
                await secured.do_handshake()
            except (OSError, ssl.SSLError, trio.BrokenResourceError) as error:
                _log.info("admin_handshake_failed", address=peer, reason=str(error)[:200])
                return None
            return Way(secured, True, name_of(secured.certificate()))
        return None

    def renew(self, settings: Admin) -> None:
        """The token for metrics is another one."""
        self._settings = msgspec.structs.replace(self._settings, metrics_token=settings.metrics_token)

    async def watch(self, seconds: float) -> None:
        """Read files that have changed, until cancelled."""
        while True:
            await trio.sleep(seconds)
            await trio.to_thread.run_sync(self.reload)

    def reload(self) -> None:
        """Read files that have changed; what cannot be used is told once, and the old ones stay."""
        if self._context is None:
            return
        try:
            stamp = self._look()
            if stamp == self._stamp:
                return
            self._stamp = stamp
            self._context = self._made()
        except (OSError, ssl.SSLError) as error:
            _log.error("admin_certificate_unusable", reason=str(error)[:500])

    def _look(self) -> tuple[object, ...]:
        settings = self._settings
        paths = [settings.certificate_file, settings.key_file, settings.client_ca_file]
        return tuple((s.st_ino, s.st_size, s.st_mtime_ns) for s in (os.stat(path) for path in paths if path))

    def _made(self) -> ssl.SSLContext:
        settings = self._settings
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        harden(context)
        context.num_tickets = 0
        Identity(Path(settings.certificate_file), Path(settings.key_file)).load(context)
        context.set_alpn_protocols(["http/1.1"])
        if settings.client_ca_file:
            # Probes have no certificate: who has none gets no further than health.
            context.load_verify_locations(settings.client_ca_file)
            context.verify_mode = ssl.CERT_OPTIONAL
        return context

    # --- requests ---

    def refuses(self, request: Request) -> str:
        """Why the API and the pages do not answer a request that came by this way; "" when they do."""
        if not request.secure:
            return (
                "" if not request.peer or request.peer in self._plain else "TLS is needed from this address"
            )
        if self._settings.client_ca_file and not request.certificate:
            return "a certificate of an operator is needed"
        return ""

    def refused(self, request: Request) -> Response | None:
        """The answer to a request that came by a way that is closed to it (RFC 9457), with a line in the log."""
        why = self.refuses(request)
        if not why:
            return None
        _log.info("admin_refused", address=request.peer, reason=why)
        told = {
            "type": "about:blank",
            "title": "Forbidden",
            "status": 403,
            "code": "forbidden",
            "detail": why,
        }
        return Response(403, json.dumps(told).encode(), "application/problem+json")

    def may_read(self, request: Request) -> bool:
        """Whether a request may read metrics: it shows a certificate or the token, or neither is asked for."""
        if request.certificate:
            return True
        token = self._settings.metrics_token
        if not token and self._settings.client_ca_file:
            return not self.refuses(request)
        return may_read(request, token)


def name_of(certificate: dict[str, Any] | None) -> str:
    """Whose certificate it is, for the log: its first URI, address or name, else the common name; "" for none."""
    if not certificate:
        return ""
    alternatives = dict(reversed(certificate.get("subjectAltName", ())))
    subject = {kind: value for part in certificate.get("subject", ()) for kind, value in part}
    named = [
        alternatives.get("URI"),
        alternatives.get("email"),
        subject.get("commonName"),
        alternatives.get("DNS"),
    ]
    return next((name[:200] for name in named if name), "?")
