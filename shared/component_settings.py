"""The settings of components: a section of `shared/config.py`, beside that of other servers."""

from __future__ import annotations

from typing import Annotated

from rookery.shared.options import Section, about


class Component(Section, frozen=True):
    """External components (XEP-0114): services that connect here and answer for a domain of their own."""

    host: Annotated[tuple[str, ...], about("IP addresses to listen on")] = ("127.0.0.1", "::1")
    port: Annotated[
        int,
        about("Port for components; TLS is understood there, too; 0 picks a free one", ge=0, le=65535),
    ] = 5347
    require_tls: Annotated[
        bool, about("Refuse components that do not begin with TLS; wise on other addresses than loopback")
    ] = False
    secrets_directory: Annotated[
        str, about("A folder with a file for each component, named as its domain, that has its secret")
    ] = ""
    handshake_seconds: Annotated[
        float, about("From the connection until a component has proved itself", "seconds", ge=1)
    ] = 10.0
    connections: Annotated[
        int, about("Connections of one component with one process", "connections", ge=1)
    ] = 32
    stanza_bytes: Annotated[int, about("Size of one stanza from a component", "bytes", ge=10_000)] = 524_288
    stanzas_per_second: Annotated[
        int,
        about(
            "What a component may send on average, on one connection; beyond it is read later",
            "stanzas",
            ge=1,
        ),
    ] = 2000
    stanzas_burst: Annotated[int, about("What a component may send at once", "stanzas", ge=1)] = 10_000
    bytes_per_second: Annotated[
        int,
        about(
            "What a component may send on average, on one connection; beyond it is read later", "bytes", ge=1
        ),
    ] = 4 * 1024 * 1024
    bytes_burst: Annotated[int, about("What a component may send at once", "bytes", ge=1)] = 16 * 1024 * 1024
    outbox_bytes: Annotated[
        int, about("What a component has not taken yet, before it is disconnected", "bytes", ge=1)
    ] = 16 * 1024 * 1024
    answer_seconds: Annotated[
        float,
        about(
            "How long a component may leave a ping unanswered before what its kernel took counts",
            "seconds",
            ge=1,
        ),
    ] = 10.0
    queue_seconds: Annotated[
        int,
        about("How long messages wait for a component that is away; then they come back", "seconds", ge=1),
    ] = 432_000
    queue_stanzas: Annotated[
        int, about("Messages that may wait for one component, from one domain", "stanzas", ge=1)
    ] = 100_000
