"""TLS contexts of the client's side: whose certificates hold, what is offered, and what we show of ourselves (RFC 7590, RFC 6125).

A name that OpenSSL cannot check (the XMPP names of RFC 6120 section 13.7.1.2) is the caller's: it takes a `Trust` without `name` and
looks at `Channel.certificate` itself.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import NamedTuple

from rookery.shared.net.certificates import harden
from rookery.shared.net.identity import Identity


class Trust(NamedTuple):
    """Which certificates of a server are accepted."""

    #: A file of certificate authorities (PEM); None takes those of the operating system.
    authorities: Path | None = None
    #: The chain must end at an authority. Without it any certificate is taken, and nothing is known of the other side.
    chain: bool = True
    #: OpenSSL compares the name of the connection with the certificate's dNSNames, too.
    name: bool = True


def client_context(
    trust: Trust, alpn: tuple[str, ...] = (), identity: Identity | None = None
) -> ssl.SSLContext:
    """A context for `Channel.offer_tls`; it is meant to be kept. Raises OSError or ssl.SSLError for files that cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    harden(context)
    context.check_hostname = trust.chain and trust.name
    context.verify_mode = ssl.CERT_REQUIRED if trust.chain else ssl.CERT_NONE
    if trust.chain:
        if trust.authorities is not None:
            context.load_verify_locations(trust.authorities)
        else:
            context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    if identity is not None:
        identity.load(context)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context
