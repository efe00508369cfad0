"""The settings of TLS with clients: a section of `shared/config.py` that is long enough for a file of its own."""

from __future__ import annotations

from typing import Annotated

from rookery.shared.options import Section, about


class Tls(Section, frozen=True):
    """Certificates of the hosted domains."""

    directory: Annotated[
        str,
        about("Has DOMAIN/fullchain.pem and DOMAIN/privkey.pem for each domain; read again on change"),
    ] = ""
    default_domain: Annotated[
        str,
        about("Whose certificate clients get that name no domain we have; empty for the first hosted domain"),
    ] = ""
    reload_interval: Annotated[
        float, about("How often the directory is looked at for new certificates", "seconds", ge=0)
    ] = 5.0
    handshake_threads: Annotated[
        int, about("Threads of an edge for the arithmetic of TLS handshakes", "threads", ge=1)
    ] = 2
    ticket_secrets_file: Annotated[
        str,
        about(
            "Secrets that all edges share, one a line: clients of TLS 1.3 come back with abbreviated handshakes; empty: no session tickets"
        ),
    ] = ""
    ticket_hours: Annotated[
        int, about("How long a ticket is good, and how often there is a new key", "hours", ge=1, le=168)
    ] = 12
