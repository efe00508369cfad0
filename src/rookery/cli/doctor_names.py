"""What `rookery doctor` looks at for each hosted domain: a certificate that names it, DNS records, and whether their hosts answer."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import trio

from rookery.shared.config import Config

if TYPE_CHECKING:
    from rookery.shared.net.certificates import Certificate
    from rookery.workers.s2s.streams.questions import Questions

_EXPIRY_DAYS: Final = 14
#: A connection to a port that the DNS names.
_CONNECT: Final = 3.0
#: More ports of one domain are not tried.
_MAX_PORTS: Final = 8
_CLIENTS: Final = {"_xmpp-client._tcp": 5222, "_xmpps-client._tcp": 5223}
_SERVERS: Final = {"_xmpp-server._tcp": 5269, "_xmpps-server._tcp": 5270}
#: Kinds of domains whose names other servers connect to, and whose names clients open over HTTPS.
_SPOKEN_TO: Final = frozenset({"accounts", "rooms", "pubsub", "component"})
_FETCHED: Final = frozenset({"upload"})


class Finding(NamedTuple):
    """One thing that was looked at; `remedy` for what is not well."""

    level: Literal["ok", "warn", "FAIL"]
    what: str
    remedy: str = ""


def certificates(config: Config, hosted: Mapping[str, str]) -> Iterator[Finding]:
    """Each certificate's end, and the `hosted` domains (name -> kind) that none is for."""
    if not config.tls.directory:
        return
    from rookery.edge.door.tls import USES
    from rookery.shared.cluster.federation import federated
    from rookery.shared.net.certificates import CertificateStore

    store = CertificateStore(config.tls, USES)
    store.reload()
    if not len(store):
        wanted = "<domain>/fullchain.pem and <domain>/privkey.pem"
        yield Finding(
            "FAIL", f"certificates: none can be used in {config.tls.directory}", f"put {wanted} there"
        )
    for certificate in store:
        days = (certificate.not_after.timestamp() - time.time()) / 86_400
        level: Literal["ok", "warn", "FAIL"] = "ok" if days > _EXPIRY_DAYS else "warn" if days > 0 else "FAIL"
        remedy = "" if level == "ok" else "renew it; edges read it again without a restart"
        yield Finding(level, f"certificate of {certificate.domain}: ends in {days:.0f} days", remedy)
    wanted_by = _FETCHED | (_SPOKEN_TO if federated(config) else {"accounts"})
    for name, kind in hosted.items():
        shown = store.find(name)
        if kind in wanted_by and shown is not None:
            yield from _named(shown, name)


def _named(certificate: Certificate, domain: str) -> Iterator[Finding]:
    """Nothing when the certificate that is shown for a domain names it (RFC 6125)."""
    from cryptography import x509

    from rookery.workers.s2s.streams import names

    leaf = x509.load_pem_x509_certificates(certificate.identity.chain.read_bytes())[0]
    if not names.read(leaf).cover(domain):
        yield Finding(
            "warn",
            f"certificate for {domain}: there is none that names it, that of {certificate.domain} is shown",
            f"put {domain}/fullchain.pem and privkey.pem into tls.directory; it names the domain, not the host",
        )


async def records(config: Config, hosted: Mapping[str, str]) -> list[Finding]:
    """What the DNS says of the `hosted` domains to clients and to other servers, and whether that can be connected to from here."""
    from rookery.shared.cluster.federation import federated
    from rookery.workers.s2s.streams.questions import Questions

    asked: list[tuple[str, dict[str, int], str]] = []
    for name, kind in hosted.items():
        if kind == "accounts":
            asked.append((name, _CLIENTS, "clients"))
        if kind in _SPOKEN_TO and federated(config):
            asked.append((name, _SERVERS, "other servers"))
    questions = Questions(config.s2s.resolver, config.s2s.dns_seconds)
    return [found for name, services, who in asked for found in await _found(questions, name, services, who)]


async def _found(questions: Questions, domain: str, services: Mapping[str, int], who: str) -> list[Finding]:
    from rookery.workers.s2s.streams.names import ascii_name
    from rookery.workers.s2s.streams.questions import SRV, DnsError, EmptyError

    places: list[tuple[str, int]] = []
    missing: list[str] = []
    for service in services:
        try:
            answer = await questions.ask(f"{service}.{ascii_name(domain)}", SRV)
        except EmptyError:
            missing.append(service)
        except (DnsError, ValueError) as error:
            return [Finding("warn", f"DNS of {domain}: {error}", "look at s2s.resolver or /etc/resolv.conf")]
        else:
            places += [(str(record.target).rstrip("."), record.port) for record in answer]
    if not places:
        port = min(services.values())
        return [
            Finding(
                "warn",
                f"DNS of {domain}: no {' and no '.join(missing)}; {who} try {domain}:{port}",
                "see `DNS and certificates` in docs/operating.md; fine when that is the host",
            )
        ]
    told = ", ".join(f"{host}:{port}" for host, port in places)
    findings = [Finding("ok", f"DNS of {domain}: {who} are sent to {told}")]
    for host, port in places[:_MAX_PORTS]:
        if host and (reason := await _closed(host, port)):
            remedy = (
                "fine when this machine may not connect there; else look at the balancer and the firewall"
            )
            findings.append(Finding("warn", f"{host}:{port} of {domain}: {reason}", remedy))
    return findings


async def _closed(host: str, port: int) -> str:
    """Why a port cannot be connected to from here; "" when it can."""
    try:
        with trio.fail_after(_CONNECT):
            stream = await trio.open_tcp_stream(host, port)
        await stream.aclose()
    except trio.TooSlowError:
        return "no answer"
    except OSError as error:
        return error.strerror or "cannot be connected to"
    return ""
