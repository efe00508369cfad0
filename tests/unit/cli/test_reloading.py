"""Reading the configuration again: what is live changes, the rest waits, and a mistake changes nothing."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from rookery.reloading import merge, reread
from rookery.shared.config import Config
from rookery.shared.reference import SETTINGS
from rookery.shared.settings import SettingsError, loads

#: Where each live setting is taken from again: at its use from the node's or the process's configuration, or by `configured` of a service.
LIVE = {
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
