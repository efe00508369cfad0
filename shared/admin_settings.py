"""The settings of the admin port: a section of `shared/config.py` that is long enough for a file of its own."""

from __future__ import annotations

from typing import Annotated

from rookery.shared.options import Section, about


class Admin(Section, frozen=True):
    """/livez, /readyz and /metrics of each process, and the administration API of account workers (docs/administration.md)."""

    host: Annotated[str, about("IP address to listen on")] = "127.0.0.1"
    port: Annotated[int, about("Port; 0 picks a free one, which the log tells", ge=0, le=65535)] = 0
    api: Annotated[bool, about("Serve /api/ where an account worker runs; every call needs a token")] = True
    pages: Annotated[
        bool, about("Serve the pages of /admin/ where an account worker runs; they ask for a token")
    ] = True
    metrics_token: Annotated[
        str, about("Bearer token that /metrics asks for; empty asks for none", secret=True, live=True)
    ] = ""
    certificate_file: Annotated[
        str,
        about(
            "Certificate with its chain (PEM) of this port, read again when it changes; empty speaks no TLS"
        ),
    ] = ""
    key_file: Annotated[str, about("Its key (PEM)")] = ""
    client_ca_file: Annotated[
        str,
        about(
            "Authorities (PEM) of operators: over TLS everything but health then needs a certificate by one of them, beside a token"
        ),
    ] = ""
    plaintext_nets: Annotated[
        tuple[str, ...], about("Networks from where the API and the pages answer without TLS")
    ] = ("127.0.0.0/8", "::1/128")
    requests_per_second: Annotated[
        int,
        about("Calls of one token at one process on average; beyond it is refused with 429", "calls", ge=1),
    ] = 50
    requests_burst: Annotated[int, about("Calls of one token at once", "calls", ge=1)] = 200
