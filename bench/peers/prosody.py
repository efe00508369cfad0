"""Prosody from the Debian package: the packaged modules, internal_hashed accounts, no limits module (loopback is exempt with us, too)."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from rookery.bench.peers.machine import account, give, need
from rookery.bench.peers.peer import Peer, PeerError, Ports, Running, Site, await_stream
from rookery.bench.peers.postgres import Archive, archive
from rookery.bench.server import Root
from rookery.embedded.child import spawn, stop

#: What the package's configuration enables, without `limits` (the shaper), federation, and what opens a console.
MODULES: Final = (
    *(
        "disco",
        "roster",
        "saslauth",
        "tls",
        "blocklist",
        "bookmarks",
        "carbons",
        "pep",
        "private",
        "smacks",
        "vcard4",
    ),
    *(
        "vcard_legacy",
        "csi_simple",
        "invites",
        "invites_adhoc",
        "invites_register",
        "ping",
        "register",
        "time",
        "uptime",
    ),
    *("version", "admin_adhoc", "posix", "websocket", "bosh"),
)
#: Users that may make nodes.
_MAKERS: Final = 64
_DBI: Final = (
    "/usr/lib/x86_64-linux-gnu/lua",
    "/usr/lib/aarch64-linux-gnu/lua",
    "/usr/lib/lua",
    "/usr/local/lib/lua",
)


def configuration(site: Site, ports: Ports, *, gc: int = 0, database: Archive | None = None) -> str:
    """The whole configuration file. `gc`: threshold of the incremental collector, 0 for the packaged default."""
    modules = (*MODULES, *(["mam"] if database else []), *(["dialback"] if site.federation else []))
    lines = [
        f"pidfile = {_quote(site.folder / 'prosody.pid')}",
        f"data_path = {_quote(site.folder / 'data')}",
        f"modules_enabled = {{ {'; '.join(_quote(name) for name in modules)} }}",
        *_federation(site, ports),
        'interfaces = { "127.0.0.1" }',
        f"c2s_ports = {{ {ports.c2s} }}",
        f"c2s_direct_tls_ports = {{ {ports.tls} }}",
        f"http_ports = {{ {ports.http} }}",
        'http_interfaces = { "127.0.0.1" }',
        "https_ports = { }",
        "consider_websocket_secure = true",
        "consider_bosh_secure = true",
        "c2s_require_encryption = false",
        "allow_unencrypted_plain_auth = true",
        'authentication = "internal_hashed"',
        "allow_registration = true",
        "registration_invite_only = false",
        f"ssl = {{ certificate = {_quote(site.certificate)}; key = {_quote(site.key)}{_authority(site)} }}",
        f"log = {{ info = {_quote(site.folder / 'prosody.log')} }}",
    ]
    if gc:
        lines.append(f"gc = {{ threshold = {gc} }}")
    if database:
        lines += [
            'storage = { archive = "sql" }',
            "default_archive_policy = true",
            'archive_expires_after = "1w"',
            f'sql = {{ driver = "PostgreSQL"; database = "{database.database}"; username = "{database.user}"; '
            f"password = {_quote(database.password)}; host = {_quote(database.socket or '127.0.0.1')}; "
            f"port = {database.port} }}",
        ]
    lines.append(f"VirtualHost {_quote(site.domain)}")
    # Rooms as others have them: open at once, and nothing limits how fast they talk.
    lines += [f'Component {_quote("conference." + site.domain)} "muc"', "muc_room_locking = false"]
    # Only administrators make nodes there: the tool's first users, one for each of its processes, are such.
    makers = "; ".join(_quote(f"user{number:06d}@{site.domain}") for number in range(_MAKERS))
    lines += [f'Component {_quote("pubsub." + site.domain)} "pubsub"', f"admins = {{ {makers} }}"]
    return "\n".join(lines) + "\n"


def check(*, sql: bool = False) -> None:
    """Raises PeerError when a package is missing."""
    need("prosody", "prosody")
    if sql and not any(found for root in _DBI for found in Path(root).glob("*/dbd/postgresql.so")):
        raise PeerError("Prosody has no Postgres driver: apt install lua-dbi-postgresql")


@contextmanager
def start(site: Site, *, gc: int = 0, sql: bool = False) -> Iterator[Running]:
    """Run it until the end of the block. Raises PeerError, EmbeddedError."""
    with archive(site, "prosody", wanted=sql) as database:
        user, ports, log = account(), Ports.free(), site.folder / "output.log"
        config = site.folder / "prosody.cfg.lua"
        config.write_text(configuration(site, ports, gc=gc, database=database))
        (site.folder / "data").mkdir(exist_ok=True)
        config.chmod(0o600)
        give(site.folder, user)
        argv = [need("prosody", "prosody"), "-F", "--config", str(config)]
        with log.open("ab") as output:
            process = spawn(
                argv, cwd=site.folder, log=output, death_signal=signal.SIGTERM, user=user and user.ids
            )
        try:
            await_stream(process, ports.c2s, site.domain, log)
            roots = (Root(process.pid, "prosody"), *(database.roots if database else ()))
            yield Running(ports, "/xmpp-websocket", roots)
            if database is not None:
                database.prove("prosodyarchive")
        finally:
            stop(process, (signal.SIGTERM, 20.0))


def _federation(site: Site, ports: Ports) -> list[str]:
    """Streams with other servers, found by the DNS server of the tool; or none."""
    if site.federation is None:
        return ['modules_disabled = { "s2s" }']
    forward = site.federation.dns.replace(":", "@")
    return [
        f"s2s_ports = {{ {ports.s2s} }}",
        f"s2s_direct_tls_ports = {{ {ports.s2s_tls} }}",
        f"s2s_secure_auth = {'false' if site.federation.dialback else 'true'}",
        f'unbound = {{ resolvconf = false; hoststxt = false; forward = "{forward}"; '
        'options = { ["do-not-query-localhost:"] = "no"; ["module-config:"] = "iterator" } }',
    ]


def _authority(site: Site) -> str:
    return f"; cafile = {_quote(site.federation.ca)}" if site.federation else ""


def _quote(text: object) -> str:
    escaped = str(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


PEERS: Final = (
    Peer("prosody", "as packaged, no shapers, nothing durable", check, start, durable=False),
    Peer(
        "prosody-gc",
        "gc = { threshold = 200 }, no shapers, nothing durable",
        check,
        partial(start, gc=200),
        durable=False,
    ),
    Peer(
        "prosody-pg",
        "gc = { threshold = 200 }, archive (mod_mam) on Postgres",
        partial(check, sql=True),
        partial(start, gc=200, sql=True),
        durable=True,
    ),
)
