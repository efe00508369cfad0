"""The server as a driver sees it: address, TLS, what begins and ends a stream."""

from __future__ import annotations

import socket
import ssl
from typing import Any

from rookery.bench.plan import Plan, PlanError
from rookery.shared.xmpp import header, ns
from rookery.shared.xmpp.xml import escape_attr


class Target:
    """Made once for each driver process."""

    __slots__ = (
        "address",
        "bosh",
        "direct_tls",
        "domain",
        "family",
        "farewell",
        "header",
        "path",
        "starttls",
        "tickets",
        "tls",
        "websocket",
    )

    def __init__(self, plan: Plan, *, second: bool = False, tickets: bool = False) -> None:
        """`second`: the server of every second user, where there are two; `tickets`: sessions of TLS are kept. Raises PlanError."""
        self.tickets = tickets
        self.domain = plan.second_domain if second else plan.domain
        place = plan.second_target if second else plan.target
        host, _, port = place.rpartition(":")
        self.path = plan.at
        self.websocket = plan.transport in ("ws", "wss")
        self.bosh = plan.transport == "bosh"
        self.direct_tls = plan.transport in ("tls", "wss")
        self.starttls = plan.transport == "starttls"
        try:
            found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
        except OSError as error:
            raise PlanError(f"target {place}: {error.strerror}") from None
        self.family: int = found[0][0]
        self.address: Any = found[0][4]
        self.tls = _context(plan) if self.direct_tls or self.starttls else None
        domain = escape_attr(self.domain)
        if self.websocket or self.bosh:
            self.header = f"<open xmlns='{ns.FRAMING}' to='{domain}' version='1.0' xml:lang='en'/>".encode()
            self.farewell = f"<close xmlns='{ns.FRAMING}'/>".encode()
        else:
            self.header = header.stream_header(to=self.domain)
            self.farewell = header.CLOSE


def _context(plan: Plan) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=plan.ca_file or None)
    except ssl.SSLError:
        raise PlanError(f"ca_file {plan.ca_file} holds no certificate in PEM") from None
    except OSError as error:
        raise PlanError(f"ca_file {plan.ca_file}: {error.strerror}") from None
    if plan.loopback and not plan.ca_file:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if plan.transport != "starttls":
        # XEP-0368 section 4; a WebSocket begins as HTTP/1.1.
        context.set_alpn_protocols(["xmpp-client" if plan.transport == "tls" else "http/1.1"])
    return context
