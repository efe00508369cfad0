"""The settings of streams with other servers: a section of `shared/config.py` that is long enough for a file of its own."""

from __future__ import annotations

from typing import Annotated, Literal

from rookery.shared.options import Section, about


class S2s(Section, frozen=True):
    """Other servers: streams with them, and what waits for them."""

    enabled: Annotated[
        Literal["auto", "on", "off"],
        about(
            "Exchange stanzas with other servers; auto: unless clients can only come from this machine and no route is set"
        ),
    ] = "auto"
    host: Annotated[tuple[str, ...], about("IP addresses to listen on; empty for those of edge.host")] = ()
    port: Annotated[int, about("Port for other servers, STARTTLS; 0 picks a free one", ge=0, le=65535)] = 5269
    tls_port: Annotated[
        int,
        about(
            "Port for other servers, TLS from the first byte (XEP-0368); 0 picks a free one", ge=0, le=65535
        ),
    ] = 5270
    routes: Annotated[
        tuple[str, ...],
        about(
            "Ways to domains that DNS need not know: DOMAIN=HOST:PORT, with tls: before HOST for direct TLS"
        ),
    ] = ()
    resolver: Annotated[
        str, about("The DNS server to ask, as 127.0.0.1:5353; empty for those of /etc/resolv.conf")
    ] = ""
    trust_dnssec: Annotated[
        bool,
        about(
            "The resolver validates DNSSEC and cannot be forged on the way: TLSA decides which certificates are believed (RFC 7673)"
        ),
    ] = False
    posh: Annotated[
        bool,
        about(
            "Where nobody vouches for the certificate of another server, ask its domain over HTTPS which ones it may show (RFC 7711)"
        ),
    ] = False
    ca_file: Annotated[
        str, about("Certificate authorities (PEM) that other servers may use besides those of the system")
    ] = ""
    deny_nets: Annotated[
        tuple[str, ...], about("Networks that DNS may not send us to; routes may go there")
    ] = (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "224.0.0.0/3",
        "::/128",
        "::1/128",
        "fc00::/7",
        "fe80::/10",
        "ff00::/8",
    )
    allow_nets: Annotated[tuple[str, ...], about("Exceptions from `deny_nets`")] = ()
    policy: Annotated[
        Literal["open", "listed", "closed"],
        about(
            "Which remote domains are spoken to: all but `block_domains`, those of `allow_domains`, or none"
        ),
    ] = "open"
    allow_domains: Annotated[
        tuple[str, ...], about('Remote domains for the policy "listed"; *.example.org for all below it')
    ] = ()
    block_domains: Annotated[
        tuple[str, ...], about("Remote domains that are never spoken to; *.example.org for all below it")
    ] = ()
    block_lists: Annotated[
        tuple[str, ...],
        about(
            "Lists of senders of spam at other servers, SERVICE/NODE: they come into no room, and write to nobody who does not know them"
        ),
    ] = ()
    block_lists_as: Annotated[
        str, about("The hosted domain that subscribes to `block_lists`; empty: the first by name")
    ] = ""
    dialback_domains: Annotated[
        tuple[str, ...],
        about("Remote domains that may prove themselves by dialback (XEP-0220) in place of a certificate"),
    ] = ()
    bidi: Annotated[bool, about("Use streams in both directions where the other side can (XEP-0288)")] = True
    connect_seconds: Annotated[float, about("A connection to another server", "seconds", ge=0)] = 10.0
    negotiate_seconds: Annotated[
        float, about("From the connection until a stream is authenticated", "seconds", ge=0)
    ] = 30.0
    dns_seconds: Annotated[float, about("A question to the DNS", "seconds", ge=0)] = 5.0
    answer_seconds: Annotated[
        float, about("How long another server may not say that it has what it was sent", "seconds", ge=1)
    ] = 60.0
    stanza_bytes: Annotated[int, about("Size of one stanza from another server", "bytes", ge=10_000)] = (
        524_288
    )
    stanzas_per_second: Annotated[
        int, about("What a remote domain may send on average; beyond it is read later", "stanzas", ge=1)
    ] = 500
    stanzas_burst: Annotated[int, about("What a remote domain may send at once", "stanzas", ge=1)] = 2000
    bytes_per_second: Annotated[
        int, about("What a remote domain may send on average; beyond it is read later", "bytes", ge=1)
    ] = 1024 * 1024
    bytes_burst: Annotated[int, about("What a remote domain may send at once", "bytes", ge=1)] = (
        4 * 1024 * 1024
    )
    stranger_stanzas_per_second: Annotated[
        int,
        about(
            "What a domain that nobody here has written to may send on average; beyond it is read later; 0: as others",
            "stanzas",
            ge=0,
        ),
    ] = 50
    stranger_stanzas_burst: Annotated[
        int, about("What a domain that nobody here has written to may send at once", "stanzas", ge=1)
    ] = 1000
    strangers_stanzas_per_second: Annotated[
        int, about("What all such domains together may send to one process on average", "stanzas", ge=1)
    ] = 500
    strangers_stanzas_burst: Annotated[
        int, about("What all such domains together may send to one process at once", "stanzas", ge=1)
    ] = 5000
    subscriptions_per_minute: Annotated[
        int,
        about(
            "Requests for subscriptions from one remote domain to one process, and a quarter of it to one account; beyond they are refused; 0: no limit",
            "requests",
            ge=0,
        ),
    ] = 600
    account_stanzas_per_minute: Annotated[
        int,
        about(
            "Messages and requests for subscriptions of one account to other servers, on average and by process; beyond what it sends waits; 0: no limit",
            "stanzas",
            ge=0,
        ),
    ] = 1200
    account_stanzas_burst: Annotated[
        int,
        about(
            "Messages and requests for subscriptions of one account to other servers, at once",
            "stanzas",
            ge=1,
        ),
    ] = 6000
    outbox_bytes: Annotated[
        int, about("What another server has not taken yet, before the stream is closed", "bytes", ge=1)
    ] = 8 * 1024 * 1024
    connections_per_ip: Annotated[
        int, about("Open connections of one address with other servers' port", "connections", ge=1)
    ] = 50
    connections_per_ip_per_second: Annotated[
        int, about("New connections of one address with other servers' port", "connections", ge=1)
    ] = 20
    pairs_per_stream: Annotated[int, about("Pairs of domains that share one stream", "pairs", ge=1)] = 100
    queue_seconds: Annotated[
        int,
        about(
            "How long messages wait for a domain that could be reached before; then they come back",
            "seconds",
            ge=1,
        ),
    ] = 432_000
    queue_new_seconds: Annotated[
        int, about("The same for a domain that could never be reached", "seconds", ge=1)
    ] = 300
    queue_stanzas: Annotated[
        int, about("Messages that may wait for one remote domain, from one of ours", "stanzas", ge=1)
    ] = 100_000
    longest_pause_seconds: Annotated[
        float, about("The longest pause between attempts to reach a domain", "seconds", ge=1)
    ] = 300.0
    idle_seconds: Annotated[
        float, about("A stream that nobody uses is closed after this", "seconds", ge=1)
    ] = 600.0

    def __post_init__(self) -> None:
        for said in self.block_lists:
            service, _, node = said.partition("/")
            if not service or not node:
                raise ValueError(f"block_lists: {said!r} is no SERVICE/NODE")
