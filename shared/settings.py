"""Reads the configuration: TOML file, then environment, then overrides (the command line); every mistake is told at once.

* Environment: `ROOKERY_EDGE__C2S_PORT=5222` is `edge.c2s_port`; lists are separated by commas, or are
  written as in the file. With `_FILE` behind the name the
  value is the content of that file, so that secrets stay out of the environment (`ROOKERY_DATABASE__PASSWORD_FILE`).
* Times may be written "30s", "5m", "500ms", sizes "256KiB", "1MiB", "64kB".
"""

from __future__ import annotations

import difflib
import ipaddress
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, get_origin
from urllib.parse import unquote, urlsplit

import msgspec

from rookery.shared.config import Config
from rookery.shared.observe import levels
from rookery.shared.reference import PREFIX, RENAMED, SETTINGS, base, facts_of, sections, toml
from rookery.shared.xeps import sasl_upgrade, service_discovery
from rookery.shared.xmpp.errors import JidError
from rookery.shared.xmpp.jid import Jid
from rookery.shared.xmpp.sasl.keys import HASHES

#: Fields that are never printed.
SECRETS: Final = frozenset((each.section, each.name) for each in SETTINGS if each.secret)
_TIME: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}
#: Unit of a setting -> (that of a bare number, how many of them a second has).
_TIMES: Final = {"milliseconds": ("ms", 1000.0), "seconds": ("s", 1.0), "days": ("d", 1 / 86_400)}
_SIZE: Final = {
    "": 1,
    "b": 1,
    "kb": 1000,
    "mb": 1000**2,
    "gb": 1000**3,
    "kib": 1024,
    "mib": 1024**2,
    "gib": 1024**3,
}
_NUMBER: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)", re.ASCII)

Overrides = Mapping[tuple[str, str], object]


class SettingsError(Exception):
    """The configuration is wrong: `errors` has one line for each mistake."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__("; ".join(errors))
        self.errors = errors


@dataclass(frozen=True, slots=True)
class Loaded:
    """A checked configuration, where each value that is not a default came from, and what the operator should change: a line each."""

    config: Config
    sources: Mapping[tuple[str, str], str]
    warnings: list[str]


@dataclass(slots=True)
class _Collected:
    values: dict[tuple[str, str], object] = field(default_factory=dict)
    sources: dict[tuple[str, str], str] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def put(self, section: str, name: str, value: object, source: str, label: str) -> None:
        """Check one value against its field and keep it, or note the mistake under `label`. Former names count, with a warning."""
        renamed = RENAMED.get((section, name))
        if renamed is not None:
            section, name = renamed.section, renamed.name
            new = renamed.variable if label == source else renamed.key
            self.warnings.append(f"{label}: is now called {new}")
        hint = FIELDS[section].get(name)
        if hint is None:
            self.errors.append(f"{label}: unknown setting{did_you_mean(name, FIELDS[section])}")
            return
        if self.sources.get((section, name)) == source:
            self.errors.append(f"{label}: {section}.{name} is set by its former name, too")
            return
        try:
            self.values[section, name] = convert(value, hint)
        except ValueError as error:
            self.errors.append(f"{label}: {error}")
        else:
            self.sources[section, name] = source


#: section -> field -> type
FIELDS: Final[dict[str, dict[str, Any]]] = {
    section: {each.name: each.hint for each in SETTINGS if each.section == section} for section in sections()
}


def load(path: Path | None, environ: Mapping[str, str], overrides: Overrides | None = None) -> Loaded:
    """The configuration from `path` (None: no file), `environ` and `overrides`. Raises SettingsError."""
    collected = _Collected()
    if path is not None:
        _from_file(path, collected)
    return _finish(collected, environ, overrides)


def loads(text: str) -> Config:
    """The configuration in a TOML text alone, as `to_toml` writes it. Raises SettingsError."""
    collected = _Collected()
    _from_text(text, "configuration", collected)
    return _finish(collected, {}, None).config


def _finish(collected: _Collected, environ: Mapping[str, str], overrides: Overrides | None) -> Loaded:
    _from_environment(environ, collected)
    for (section, name), value in (overrides or {}).items():
        option = "--" + name.replace("_", "-")
        collected.put(section, name, value, option, option)
    tree: dict[str, dict[str, object]] = {}
    for (section, name), value in collected.values.items():
        tree.setdefault(section, {})[name] = value
    config = msgspec.convert(tree, Config)
    errors = collected.errors + [f"{'.'.join(key)}: {text}" for key, text in _across(config)]
    if errors:
        raise SettingsError(errors)
    return Loaded(config, collected.sources, collected.warnings)


def _from_file(path: Path, collected: _Collected) -> None:
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise SettingsError([f"{path}: cannot read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise SettingsError([f"{path}: not TOML: {error}"]) from error
    _from_text(text, str(path), collected)


def _from_text(text: str, path: str, collected: _Collected) -> None:
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError([f"{path}: not TOML: {error}"]) from error
    for section, table in tree.items():
        if section not in FIELDS:
            collected.errors.append(f"{path}: [{section}]: unknown section{did_you_mean(section, FIELDS)}")
        elif not isinstance(table, dict):
            collected.errors.append(f"{path}: {section}: must be a table: write [{section}]")
        else:
            for name, value in table.items():
                collected.put(section, name, value, path, f"{path}: {section}.{name}")


def _from_environment(environ: Mapping[str, str], collected: _Collected) -> None:
    for variable in sorted(environ):
        # Without a double underscore it is not ours: Kubernetes sets ROOKERY_EDGE_SERVICE_HOST for a service.
        section, separator, name = variable.removeprefix(PREFIX).lower().partition("__")
        if not variable.startswith(PREFIX) or not separator:
            continue
        if section not in FIELDS:
            collected.errors.append(f"{variable}: unknown section{did_you_mean(section, FIELDS)}")
            continue
        value: str = environ[variable]
        if name not in FIELDS[section] and name.endswith("_file"):
            name = name.removesuffix("_file")
            try:
                value = Path(value).read_text("utf-8").rstrip("\r\n")
            except OSError as error:
                collected.errors.append(f"{variable}: cannot read {value}: {error.strerror}")
                continue
        collected.put(section, name, value, variable, variable)


def convert(value: object, hint: Any) -> object:
    """`value` as the type of a setting. Raises ValueError with what was expected; the value itself is never quoted."""
    plain, unit = base(hint), facts_of(hint).unit
    if isinstance(value, str):
        if get_origin(plain) is tuple:
            value = _list(value)
        elif unit in _TIMES:
            default, scale = _TIMES[unit]
            value = _whole(parse_number(value, _TIME, default, "a time such as 30s or 5m") * scale, plain)
        elif plain is int:
            wanted = "a size such as 256KiB" if unit == "bytes" else "a whole number"
            value = _whole(parse_number(value, _SIZE, "", wanted), plain)
        elif plain is bool:
            value = _boolean(value)
    try:
        return msgspec.convert(value, hint)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)[:1].lower() + str(error)[1:].replace("`", "")) from None


def _list(text: str) -> object:
    if text.lstrip().startswith("["):
        try:
            return tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            raise ValueError('expected a list such as a, b or ["a", "b"]') from None
    return [part.strip() for part in text.split(",") if part.strip()]


def _whole(number: float, plain: type) -> float:
    return int(number) if plain is int and number == int(number) else number


def _boolean(text: str) -> object:
    return {
        "true": True,
        "1": True,
        "yes": True,
        "on": True,
        "false": False,
        "0": False,
        "no": False,
        "off": False,
    }.get(text.strip().lower(), text)


def parse_number(text: str, units: Mapping[str, float], default: str, wanted: str) -> float:
    """A number with an optional unit. Raises ValueError when it is not one."""
    match = _NUMBER.fullmatch(text.strip())
    unit: str = (match[2].lower() or default) if match else "?"
    if match is None or unit not in units:
        raise ValueError(f"expected {wanted}")
    return float(match[1]) * units[unit]


def did_you_mean(name: str, known: Collection[str]) -> str:
    """The end of a message about an unknown name: the known one that it looks like, or all when they are few."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return (
        f": did you mean {close[0]}?"
        if close
        else f" (known: {', '.join(known)})"
        if len(known) <= 12
        else ""
    )


def _across(config: Config) -> Iterator[tuple[tuple[str, str], str]]:
    """Mistakes that one field alone does not show."""
    if config.edge.allow_plaintext and not all(is_loopback(host) for host in config.edge.host):
        yield (
            ("edge", "allow_plaintext"),
            'only works on loopback addresses: set edge.host to ["127.0.0.1", "::1"]',
        )
    yield from _operators(config)
    for section, name in (
        ("limits", "exempt_nets"),
        ("edge", "proxy_protocol_nets"),
        ("edge", "http_proxy_nets"),
        ("registration", "nets"),
        ("admin", "plaintext_nets"),
    ):
        for net in getattr(getattr(config, section), name):
            try:
                ipaddress.ip_network(net)
            except ValueError:
                yield (section, name), f"{net!r} is not a network: write it as 192.0.2.0/24"
    for origin in config.edge.websocket_origins:
        if origin not in ("*", "null") and not re.fullmatch(
            r"[a-z][a-z0-9+.-]*://[^/\s?#]+/?", origin.lower()
        ):
            yield (
                ("edge", "websocket_origins"),
                f"{origin!r} is not an origin: write it as https://chat.example.org",
            )
    for host in config.edge.host:
        if _address(host) is None and host != "localhost":
            yield ("edge", "host"), f"{host!r} is not an IP address"
    if config.cluster.lease_ttl < 2 * config.cluster.heartbeat:
        yield (
            ("cluster", "lease_ttl"),
            "must be at least twice cluster.heartbeat, or live processes are taken over",
        )
    if mistake := _nats_mistake(config.bus.url):
        yield ("bus", "url"), mistake
    if mistake := _database_mistake(config.database.url):
        yield ("database", "url"), mistake
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", config.bus.prefix):
        yield ("bus", "prefix"), "may have only letters, digits, - and _ (at most 64)"
    for item in config.options(service_discovery.Options).items:
        try:
            Jid.parse(item.partition(" ")[0])
        except JidError:
            yield ("service_discovery", "items"), f"{item!r} does not begin with an address"
    named = (
        (("account", "mechanisms"), config.account.mechanisms),
        (("sasl_upgrade", "mechanisms"), config.options(sasl_upgrade.Options).mechanisms),
    )
    for where, mechanisms in named:
        for mechanism in mechanisms:
            if mechanism not in HASHES:
                yield where, f"{mechanism!r} is not known: use {', '.join(sorted(HASHES, reverse=True))}"


def _operators(config: Config) -> Iterator[tuple[tuple[str, str], str]]:
    """Mistakes of the admin port and of logs."""
    if bool(config.admin.certificate_file) != bool(config.admin.key_file):
        yield ("admin", "certificate_file"), "goes with admin.key_file: set both or neither"
    if config.admin.client_ca_file and not config.admin.certificate_file:
        yield ("admin", "client_ca_file"), "needs admin.certificate_file: certificates are shown over TLS"
    if config.log.to not in ("stderr", "syslog", "journald") and not config.log.to.startswith("/"):
        yield (
            ("log", "to"),
            f"{config.log.to!r} is neither stderr, syslog, journald, nor the whole path of a file",
        )
    try:
        levels.parse(config.log.modules)
    except ValueError as error:
        yield ("log", "modules"), str(error)


def _nats_mistake(urls: str) -> str:
    """What is wrong with the URLs of NATS, without the URLs themselves: they may have a password. "" when nothing is."""
    if all(_is_nats(url.strip()) for url in urls.split(",")):
        return ""
    begins = all(url.strip().startswith(("nats://", "tls://")) for url in urls.split(","))
    return "must be nats://HOST:PORT or tls://HOST:PORT" if begins else "must begin with nats:// or tls://"


def _database_mistake(url: str) -> str:
    # Postgres has more forms (several hosts, a socket) than are worth a check here.
    good = url.startswith(("postgresql://", "postgres://"))
    return "" if good else "must begin with postgresql://"


def _is_nats(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("nats", "tls") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a listener on `host`."""
    address = _address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def with_servers(config: Config, nats_url: str, database_url: str) -> Config:
    """`config` on other servers; "" leaves one as it is. A NATS URL with a user but no password has a token there.

    Raises SettingsError, in the words of the options, for what is no URL of such a server.
    """
    replace = msgspec.structs.replace
    told = (
        ("--nats-url", _nats_mistake(nats_url) if nats_url else ""),
        ("--database-url", _database_mistake(database_url) if database_url else ""),
    )
    if errors := [f"{option}: {mistake}" for option, mistake in told if mistake]:
        raise SettingsError(errors)
    if nats_url:
        parts = urlsplit(nats_url)
        if parts.username and parts.password is None and "," not in nats_url:
            address = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
            config = replace(config, bus=replace(config.bus, url=address, token=unquote(parts.username)))
        else:
            config = replace(config, bus=replace(config.bus, url=nats_url))
    if database_url:
        config = replace(config, database=replace(config.database, url=database_url))
    return config


def to_toml(config: Config, *, secrets: bool, sources: Mapping[tuple[str, str], str] | None = None) -> str:
    """`config` as TOML that `load` reads again; without `secrets` they are masked. `sources` become comments."""
    lines: list[str] = []
    for section, names in FIELDS.items():
        lines.append(f"[{section}]")
        for name in names:
            value = getattr(getattr(config, section), name)
            if (section, name) in SECRETS and value and not secrets:
                value = "********"
            if name == "url" and not secrets:
                value = without_password(value)
            source = (sources or {}).get((section, name))
            lines.append(f"{name} = {toml(value)}" + (f"  # {source}" if source else ""))
        lines.append("")
    return "\n".join(lines)


def without_password(url: str) -> str:
    """A URL that may be printed: no password, and no token in the place of a user (NATS)."""
    url = re.sub(r"(://[^/@:,]*):[^/@]*@", r"\1:********@", url)
    return re.sub(r"((?:nats|tls)://)[^/@:,]+@", r"\1********@", url)
