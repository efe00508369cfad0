"""Commands that count, and that tell who is where, under ejabberd's names."""

from __future__ import annotations

import time
from typing import Any, Final

from rookery.admin import domains, names, sessions, users
from rookery.admin.api.ejabberd_command import Command, Text
from rookery.admin.cluster_work import status
from rookery.admin.desk import Desk
from rookery.admin.errors import Invalid
from rookery.admin.verb import Taken


class OfStat(Taken, frozen=True, kw_only=True):
    """What is counted, for all domains."""

    name: Text


class OfHostStat(OfStat, frozen=True, kw_only=True):
    """What is counted, for one domain."""

    host: Text


class OfUser(Taken, frozen=True, kw_only=True):
    """A user."""

    user: Text
    host: Text


async def _stats(desk: Desk, taken: OfStat) -> int:
    if taken.name == "processes":
        return len((await status(desk))["processes"])
    if taken.name == "uptimeseconds":
        return max((one["uptime"] or 0 for one in (await status(desk))["processes"]), default=0)
    hosted = [policy.name for policy in await domains.listed(desk) if policy.kind == "accounts"]
    return await _counted(desk, taken.name, "", hosted)


async def _stats_host(desk: Desk, taken: OfHostStat) -> int:
    domain = names.domain(taken.host)
    await domains.find(desk, domain)
    return await _counted(desk, taken.name, domain, [domain])


async def _counted(desk: Desk, name: str, domain: str, hosted: list[str]) -> int:
    if name in ("onlineusers", "onlineusersnode"):
        return await sessions.counted(desk.cluster, domain)
    if name == "registeredusers":
        return sum([(await users.counted(desk, one))[0] for one in hosted])
    raise Invalid(f"{name!r} is not counted: choose from registeredusers, onlineusers, onlineusersnode")


async def _get_last(desk: Desk, taken: OfUser) -> dict[str, Any]:
    jid = names.account(f"{taken.user}@{taken.host}")
    account = await users.find(desk, jid)
    if any(row.edge for row in (await sessions.of_account(desk.cluster, str(jid))).rows):
        return {"timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "status": "ONLINE"}
    if account.last_seen is None:
        return {"timestamp": "1970-01-01T00:00:00Z", "status": "NOT FOUND"}
    return {"timestamp": account.last_seen.strftime("%Y-%m-%dT%H:%M:%SZ"), "status": ""}


async def _user_sessions_info(desk: Desk, taken: OfUser) -> list[dict[str, Any]]:
    jid = names.account(f"{taken.user}@{taken.host}")
    return [
        {
            "resource": row.jid.partition("/")[2],
            "priority": row.priority,
            "node": row.edge,
            "status": row.state,
        }
        for row in (await sessions.of_account(desk.cluster, str(jid))).rows
    ]


COMMANDS: Final[dict[str, Command]] = {
    "stats": Command("read", OfStat, _stats, True),
    "stats_host": Command("read", OfHostStat, _stats_host, True),
    "get_last": Command("users", OfUser, _get_last, True),
    "user_sessions_info": Command("sessions", OfUser, _user_sessions_info, True),
}
