"""ejabberd from the Debian package: an Erlang node without distribution, so there is no epmd, no cookie, no name to clash.

The packaged modules without those that open further ports; SCRAM keys in Mnesia; schedulers that sleep instead of spinning.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec

from rookery.bench.peers.machine import account, give, need
from rookery.bench.peers.peer import Peer, PeerError, Ports, Running, Site, await_stream
from rookery.bench.peers.postgres import Archive, archive
from rookery.bench.server import Root
from rookery.embedded.child import spawn, stop

_LIBRARIES: Final = Path("/usr/lib")
#: Where packages put the code of an Erlang application.
_PLACES: Final = ("*/{0}-*/ebin/{0}.app", "{0}-*/ebin/{0}.app", "erlang/lib/{0}-*/ebin/{0}.app")
_SCHEMA: Final = Path("/usr/share/ejabberd/sql/pg.sql")
#: Cached entries for each user: rosters of 20 to 40 contacts are kept by item.
_ENTRIES: Final = 50
#: Rooms with as many occupants as a scenario has users: the defaults are 200, and that rooms with more than 1000 tell nobody who comes and goes.
ROOMS: Final = {
    "max_users": 20_000,
    "max_users_presence": 20_000,
    "default_room_options": {"max_users": 20_000},
}
#: Busy-waiting schedulers count CPU that serves nobody, four to five times what the work costs.
SLEEPING: Final = ("+sbwt", "none", "+sbwtdcpu", "none", "+sbwtdio", "none")
#: What is served over HTTP.
_HANDLERS: Final = {"/xmpp-websocket": "ejabberd_http_ws", "/http-bind": "mod_bosh"}
#: What the package's configuration enables, without mqtt, stun and the rest that opens ports, and without what limits
#: (fail2ban, pres_counter).
MODULES: Final = (
    *(
        "mod_adhoc",
        "mod_admin_extra",
        "mod_avatar",
        "mod_blocking",
        "mod_caps",
        "mod_carboncopy",
        "mod_client_state",
    ),
    *(
        "mod_configure",
        "mod_disco",
        "mod_last",
        "mod_muc_admin",
        "mod_offline",
        "mod_ping",
        "mod_privacy",
        "mod_private",
    ),
    *(
        "mod_push",
        "mod_push_keepalive",
        "mod_shared_roster",
        "mod_sic",
        "mod_vcard_xupdate",
        "mod_version",
        "mod_bosh",
    ),
)


def configuration(site: Site, ports: Ports, *, database: Archive | None = None) -> dict[str, Any]:
    """The whole configuration; JSON is YAML, too."""
    listener = {
        "ip": "127.0.0.1",
        "module": "ejabberd_c2s",
        "access": "all",
        "max_stanza_size": 262_144,
        "backlog": 4096,
    }
    modules: dict[str, Any] = {name: {} for name in MODULES}
    modules |= {
        "mod_muc": ROOMS,
        "mod_pubsub": {"plugins": ["flat", "pep"]},
        "mod_register": {"ip_access": "all", "access": "all"},
        "mod_roster": {"versioning": True},
        "mod_stream_mgmt": {"resend_on_timeout": "if_offline"},
        "mod_vcard": {"search": False},
    }
    config: dict[str, Any] = {
        "loglevel": "info",
        "log_rotate_count": 0,
        "hosts": [site.domain],
        "certfiles": [str(site.certificate), str(site.key)],
        "listen": [
            {**listener, "port": ports.c2s, "starttls": True},
            {**listener, "port": ports.tls, "tls": True},
            {
                "ip": "127.0.0.1",
                "port": ports.http,
                "module": "ejabberd_http",
                "request_handlers": _HANDLERS,
            },
        ],
        "auth_method": "internal",
        "auth_password_format": "scram",
        "disable_sasl_mechanisms": ["digest-md5", "X-OAUTH2"],
        "registration_timeout": "infinity",
        # The default of 1000 entries is made for fewer users than one comparison has, and says so in the log.
        "cache_size": max(1000, site.users * _ENTRIES),
        "modules": modules,
    }
    if site.federation is not None:
        modules["mod_s2s_dialback"] = {}
        config["listen"].append({"ip": "127.0.0.1", "module": "ejabberd_s2s_in", "port": ports.s2s})
        config |= {
            "ca_file": str(site.federation.ca),
            "s2s_use_starttls": "optional" if site.federation.dialback else "required",
            "s2s_access": "all",
        }
    if database is not None:
        config |= {
            "sql_type": "pgsql",
            "sql_server": "127.0.0.1",
            "sql_port": database.port,
            "sql_database": database.database,
            "sql_username": database.user,
            "sql_password": database.password,
        }
        modules["mod_mam"] = {"db_type": "sql", "default": "always", "assume_mam_usage": True}
    return config


def check(*, sql: bool = False) -> None:
    """Raises PeerError when the package is missing."""
    need("ejabberdctl", "ejabberd")
    need("erl", "erlang-base")
    _code()
    if sql and not any(found for place in _PLACES for found in _LIBRARIES.glob(place.format("p1_pgsql"))):
        raise PeerError("ejabberd has no Postgres driver: apt install erlang-p1-pgsql")
    if sql and not _SCHEMA.exists():
        raise PeerError(f"ejabberd's tables are not installed ({_SCHEMA}): apt install --reinstall ejabberd")


@contextmanager
def start(site: Site, *, sql: bool = False) -> Iterator[Running]:
    """Run it until the end of the block. Raises PeerError, EmbeddedError."""
    with archive(site, "ejabberd", wanted=sql, schema=_SCHEMA) as database:
        user, ports, log = account(), Ports.free(), site.folder / "output.log"
        config = site.folder / "ejabberd.yml"
        config.write_bytes(msgspec.json.encode(configuration(site, ports, database=database)))
        config.chmod(0o600)
        (site.folder / "spool").mkdir(exist_ok=True)
        give(site.folder, user)
        with log.open("ab") as output:
            process = spawn(
                _argv(site, config),
                cwd=site.folder,
                log=output,
                death_signal=signal.SIGTERM,
                user=user and user.ids,
            )
        try:
            await_stream(process, ports.c2s, site.domain, log)
            roots = (Root(process.pid, "ejabberd"), *(database.roots if database else ()))
            yield Running(ports, "/xmpp-websocket", roots)
            if database is not None:
                database.prove("archive")
        finally:
            stop(process, (signal.SIGTERM, 20.0))


def _argv(site: Site, config: Path) -> list[str]:
    return command(site.folder, config, _resolver(site), max(32_000, site.users * 2))


def command(
    folder: Path, config: Path, more: Mapping[str, Path] | None = None, ports: int = 32_000
) -> list[str]:
    """How to run it in `folder`, which has `spool`; `more` is for its environment. Raises PeerError."""
    environment = {
        "HOME": folder,
        "EJABBERD_CONFIG_PATH": config,
        "EJABBERD_LOG_PATH": folder / "ejabberd.log",
        "ERL_CRASH_DUMP": "/dev/null",
        "ERL_LIBS": _code().parent.parent,
        **(more or {}),
        "ERL_MAX_ETS_TABLES": 1400,
        "ERL_MAX_PORTS": ports,
    }
    return [
        need("env", "coreutils"),
        *(f"{name}={value}" for name, value in environment.items()),
        need("erl", "erlang-base"),
        *("+K", "true", "+P", "250000", *SLEEPING),
        *("-noinput", "-mnesia", "dir", f'"{folder / "spool"}"', "-s", "ejabberd"),
    ]


def _resolver(site: Site) -> dict[str, Path]:
    """Erlang's own resolver asks the DNS server of the tool, where other servers are played."""
    if site.federation is None:
        return {}
    return asking(site.folder, site.federation.dns)


def asking(folder: Path, where: str) -> dict[str, Path]:
    """The environment in which Erlang asks the DNS server at ADDRESS:PORT, and not those of the system, which it reads else as well."""
    host, _, port = where.rpartition(":")
    file = folder / "inetrc"
    address = host.replace(".", ",")
    file.write_text(f'{{resolv_conf, ""}}.\n{{lookup, [dns]}}.\n{{nameserver, {{{address}}}, {port}}}.\n')
    return {"ERL_INETRC": file}


def _code() -> Path:
    """The folder `ejabberd-VERSION/ebin`'s parent. Raises PeerError."""
    for pattern in _PLACES:
        for found in sorted(_LIBRARIES.glob(pattern.format("ejabberd"))):
            return found.parent
    raise PeerError("ejabberd's code was not found in /usr/lib: apt install --reinstall ejabberd")


PEERS: Final = (
    Peer(
        "ejabberd",
        "as packaged, no shapers, schedulers sleep, caches for all users, nothing durable",
        check,
        start,
        durable=False,
    ),
    Peer(
        "ejabberd-pg",
        "schedulers sleep, caches for all users, archive (mod_mam) on Postgres",
        partial(check, sql=True),
        partial(start, sql=True),
        durable=True,
    ),
)
