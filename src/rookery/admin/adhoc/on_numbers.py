"""Commands that count and list users (XEP-0133 sections 4.13 to 4.22)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from rookery.admin import sessions, users
from rookery.admin.adhoc.asked import Asked, Work, bad_payload, result
from rookery.shared.xeps.adhoc_commands import note
from rookery.shared.xeps.data_forms import Field
from rookery.shared.xmpp.jid import bare_of
from rookery.shared.xmpp.xml import Element

#: What "none" means: an answer is one stanza.
MOST: Final = 1000
#: Sessions that are looked at for a list.
_LOOKED_AT: Final = 20_000


async def _number(
    var: str, label: str, count: Callable[[Asked], Awaitable[int]], asked: Asked
) -> list[Element]:
    return [result(Field(var, (str(await count(asked)),), label=label))]


async def _registered(asked: Asked) -> int:
    return (await users.counted(asked.desk, asked.domain))[0]


async def _disabled(asked: Asked) -> int:
    return (await users.counted(asked.desk, asked.domain))[1]


async def _online(asked: Asked) -> int:
    return (await sessions.online(asked.desk.cluster, asked.domain)).accounts


async def _active(asked: Asked) -> int:
    return (await sessions.online(asked.desk.cluster, asked.domain)).active


async def _idle(asked: Asked) -> int:
    found = await sessions.online(asked.desk.cluster, asked.domain)
    return found.accounts - found.active


def _limit(asked: Asked) -> int:
    """How many were asked for. Raises StanzaError (bad-payload)."""
    text = asked.one("max_items") or "none"
    if text == "none":
        return MOST
    if not (text.isascii() and text.isdecimal()) or not 0 < int(text) <= MOST:
        raise bad_payload(f"max_items is 1 to {MOST}, or none")
    return int(text)


def _listed(asked: Asked, var: str, label: str, jids: list[str], limit: int) -> list[Element]:
    told = [result(Field(var, jids[:limit], "jid-multi", label))]
    return [*told, note(f"these are the first {limit}", "warn")] if len(jids) > limit else told


async def _list_users(var: str, label: str, disabled: bool, asked: Asked) -> list[Element]:
    limit = _limit(asked)
    found = await users.named(asked.desk, asked.domain, limit + 1, disabled=disabled)
    return _listed(asked, var, label, found, limit)


async def _list_sessions(var: str, label: str, wanted: tuple[bool, ...], asked: Asked) -> list[Element]:
    """Users that are connected: `wanted` are those that are active (True) and those that are idle (False)."""
    limit, active, looked = _limit(asked), dict[str, bool](), 0
    async for row in sessions.every(asked.desk.cluster, asked.domain):
        looked += 1
        if row.edge:
            bare = bare_of(row.jid)
            active[bare] = active.get(bare, False) or row.active
        if looked > _LOOKED_AT or (len(active) > limit + 1 and len(wanted) > 1):
            break
    found = [jid for jid, is_active in active.items() if is_active in wanted]
    notes = (
        [note(f"only the first {_LOOKED_AT} sessions were looked at", "warn")] if looked > _LOOKED_AT else []
    )
    return [*_listed(asked, var, label, found, limit), *notes]


WORK: Final[dict[str, Work]] = {
    "get-registered-users-num": partial(
        _number, "registeredusersnum", "The number of registered users", _registered
    ),
    "get-disabled-users-num": partial(_number, "disabledusersnum", "The number of disabled users", _disabled),
    "get-online-users-num": partial(_number, "onlineusersnum", "The number of online users", _online),
    "get-active-users-num": partial(_number, "activeusersnum", "The number of active users", _active),
    "get-idle-users-num": partial(_number, "idleusersnum", "The number of idle users", _idle),
    "get-registered-users-list": partial(_list_users, "registereduserjids", "The list of all users", False),
    "get-disabled-users-list": partial(
        _list_users, "disableduserjids", "The list of all disabled users", True
    ),
    "get-online-users-list": partial(
        _list_sessions, "onlineuserjids", "The list of all online users", (True, False)
    ),
    "get-active-users": partial(_list_sessions, "activeuserjids", "The list of active users", (True,)),
    # The word of example 90 in the specification is that of active users.
    "get-idle-users": partial(_list_sessions, "activeuserjids", "The list of idle users", (False,)),
}
