"""Reading the configuration again: what is live changes, the rest waits, and a mistake changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from rookery.reloading import merge, renew, reread, value_files, watch
from rookery.shared.bus.kinds import Kind
from rookery.shared.bus.nats import NatsBus
from rookery.shared.bus.wire import parse_urls
from rookery.shared.cluster.node import ClusterNode
from rookery.shared.config import Bus, Config, Database
from rookery.shared.db.api import Connection, DatabaseUnavailable
from rookery.shared.db.bridge import open_database
from rookery.shared.reference import SETTINGS
from rookery.shared.settings import SettingsError, loads

#: Where each live setting is taken from again: at its use from the node's or the process's configuration, or by `configured` of a service.
LIVE = {
    "admin.metrics_token": "wiring: Guard.renew",
    "bus.password": "reloading.renew: the next connection",
    "bus.token": "reloading.renew: the next connection",
    "database.password": "reloading.renew: connections that are opened",
    "external_services.secret": "router: at its use",
    "cluster.drain_limit": "wiring: at each drain",
    "cluster.drain_rate": "wiring: at each drain",
    "limits.bytes_burst": "edge: streams that begin",
    "limits.bytes_per_second": "edge: streams that begin",
    "limits.connections_per_ip": "edge: Door.configured",
    "limits.connections_per_ip_per_second": "edge: Door.configured",
    "limits.login_wait_seconds": "edge: Admission.configure",
    "limits.logins_per_second": "edge: Admission.configure",
    "limits.outbox_bytes": "edge: at its use",
    "limits.outbox_seconds": "edge: at its use",
    "limits.preauth_seconds": "edge: streams that begin",
    "limits.stanzas_burst": "edge: streams that begin",
    "limits.stanzas_per_second": "edge: streams that begin",
    "limits.tls_seconds": "edge: connections that begin",
    "log.level": "wiring: log.level",
    "log.modules": "wiring: levels.apply",
    "router.resource_conflict": "router: at its use",
}


def other(value: Any) -> Any:
    """A value that is another one."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    return (*value, "stun:10.0.0.1") if isinstance(value, tuple) else "debug"


#: A bucket needs these; and what is a value of one list only.
STORE = {"s3_endpoint": "https://s3.example", "s3_access_key_file": "/a", "s3_secret_key_file": "/s"}
VALUES = {"s2s.block_lists": ("lists.example/bans",)}


def test_each_live_setting_is_one_that_somebody_reads_again() -> None:
    assert {setting.key for setting in SETTINGS if setting.live} == set(LIVE)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.key)
def test_what_is_live_changes_and_the_rest_is_told(setting: Any) -> None:
    running = Config()
    if setting.key == "upload.s3_bucket":
        running = Config(upload=msgspec.structs.replace(running.upload, **STORE))  # type: ignore[attr-defined]
    section = getattr(running, setting.section)
    value = VALUES.get(setting.key) or other(getattr(section, setting.name))
    changed = msgspec.structs.replace(section, **{setting.name: value})
    read = msgspec.structs.replace(running, **{setting.section: changed})
    merged = merge(running, read)
    if setting.live:
        assert (merged.config, merged.live, merged.restart) == (read, [setting.key], [])
    else:
        assert (merged.config, merged.live, merged.restart) == (running, [], [setting.key])


def test_a_mistake_changes_nothing() -> None:
    running = Config()

    def source() -> Config:
        return loads("[limits]\nlogins_per_second = -1\n[log]\nlevel = 'debug'\n")

    with pytest.raises(SettingsError):
        source()
    merged, errors = reread(running, source)
    assert merged.config is running
    assert "logins_per_second" in errors[0]


def test_what_waits_for_a_restart_is_told_each_time() -> None:
    read = loads("[router]\nequal_priority = 'latest'\nresource_conflict = 'refuse'\n")
    merged, errors = reread(Config(), lambda: read)
    assert (merged.live, merged.restart, errors) == (
        ["router.resource_conflict"],
        ["router.equal_priority"],
        [],
    )
    again, _ = reread(merged.config, lambda: read)
    assert (again.live, again.restart) == ([], ["router.equal_priority"])


def test_children_of_up_have_no_file() -> None:
    merged, errors = reread(Config(), None)
    assert (merged.live, merged.restart) == ([], [])
    assert "rookery up" in errors[0]


# --- secrets in files ------------------------------------------------------------------------------------------------


def test_which_files_hold_values() -> None:
    environ = {
        "ROOKERY_DATABASE__PASSWORD_FILE": "/run/secrets/postgres",
        "ROOKERY_BUS__TOKEN_FILE": "/run/secrets/nats",
        "ROOKERY_BUS__CA_FILE": "/etc/ca.pem",  # a setting of that name: a path, and no value
        "ROOKERY_NOWHERE__PASSWORD_FILE": "/x",
        "DATABASE__PASSWORD_FILE": "/y",
    }
    assert value_files(environ) == [Path("/run/secrets/nats"), Path("/run/secrets/postgres")]


async def test_another_secret_in_a_file_is_read(tmp_path: Path) -> None:
    """Also when the file is replaced, as Kubernetes does; one that is away for a moment is waited for."""
    secret = tmp_path / "password"
    secret.write_text("old")
    read: list[str] = []
    told = trio.Event()

    def changed() -> None:
        read.append(secret.read_text())
        told.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch, [secret], 0.01, changed)
        await trio.sleep(0.1)
        assert read == []
        secret.unlink()
        await trio.sleep(0.1)
        assert read == []
        other = tmp_path / "other"
        other.write_text("new one")
        other.rename(secret)
        with trio.fail_after(10):
            await told.wait()
        nursery.cancel_scope.cancel()
    assert read == ["new one"]


async def test_new_connections_show_the_new_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []

    async def connect(url: str, **options: Any) -> None:
        shown.append(options["password"])
        raise ConnectionRefusedError

    monkeypatch.setattr("asyncpg.connect", connect)
    before = msgspec.structs.replace(
        Config(), database=Database(password="old"), bus=Bus(user="rookery", password="old")
    )
    after = msgspec.structs.replace(before, database=Database(password="new"), bus=Bus(password="new"))

    async def work(conn: Connection) -> None:
        raise AssertionError

    async with open_database(before.database) as db:
        bus = NatsBus("router1", before.bus)
        (server,) = parse_urls("nats://127.0.0.1:4222")
        node = ClusterNode(before, (Kind.ROUTER,), db, bus)
        for config in (before, after):
            renew(config, node)
            with pytest.raises(DatabaseUnavailable):
                await db.run(0, work)
            shown.append(bus._nats._options(server, {})["pass"])
    assert shown == ["old", "old", "new", "new"]
