"""Commands about users (XEP-0133 sections 4.1 to 4.10)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from rookery.admin import rosters, sessions, users
from rookery.admin.adhoc.asked import Asked, Work, bad_payload, result
from rookery.admin.errors import Invalid, NotFound
from rookery.admin.verbs.sessions import kick
from rookery.shared.xeps.data_forms import Field
from rookery.shared.xmpp import ns
from rookery.shared.xmpp.jid import Jid
from rookery.shared.xmpp.xml import Element


async def _add(asked: Asked) -> list[Element]:
    jid = asked.account(asked.one("accountjid"))
    password = asked.one("password")
    if password != asked.one("password-verify"):
        raise Invalid("the passwords are not the same")
    await users.create(asked.desk, jid, password, asked.one("email"))
    return []


async def _delete(asked: Asked) -> list[Element]:
    async def work(text: str) -> None:
        jid = asked.account(text)
        if not await users.remove(asked.desk, [jid]):
            raise NotFound(f"there is no user {jid}")

    return await asked.each(work)


async def _disable(asked: Asked) -> list[Element]:
    return await asked.each(lambda text: users.set_disabled(asked.desk, asked.account(text), True))


async def _reenable(asked: Asked) -> list[Element]:
    return await asked.each(lambda text: users.set_disabled(asked.desk, asked.account(text), False))


async def _end(asked: Asked) -> list[Element]:
    async def work(text: str) -> None:
        if not await kick(asked.desk, asked.user(text), ""):
            raise NotFound(f"{text} has no session")

    return await asked.each(work)


async def _password(asked: Asked) -> list[Element]:
    await users.set_password(asked.desk, asked.account(asked.one("accountjid")), asked.one("password"))
    return []


async def _roster(asked: Asked) -> list[Element]:
    """One form for each of the users, with the roster beside the fields (section 4.8)."""
    forms: list[Element] = []

    async def work(text: str) -> None:
        jid = asked.account(text)
        query = Element(ns.ROSTER, "query")
        for item in await rosters.read(asked.desk, jid):
            said = {"jid": item.contact, "name": item.name, "subscription": item.state.subscription}
            if item.state.out:
                said["ask"] = "subscribe"
            query.children.append(
                Element(
                    ns.ROSTER,
                    "item",
                    {name: value for name, value in said.items() if value},
                    *(Element(ns.ROSTER, "group", None, group) for group in item.groups),
                )
            )
        told = result(Field("accountjids", (str(jid),), "jid-multi"))
        told.children.append(query)
        forms.append(told)

    refused = await asked.each(work)
    return [*forms, *refused]


async def _last_login(asked: Asked) -> list[Element]:
    """When each was here last; now for who is here (XEP-0082). Who never was has no value."""
    jids: list[str] = []
    times: list[str] = []

    async def work(text: str) -> None:
        jid = asked.account(text)
        account = await users.find(asked.desk, jid)
        seen = account.last_seen
        if any(row.edge for row in (await sessions.of_account(asked.desk.cluster, str(jid))).rows):
            seen = await asked.desk.run(lambda conn: conn.fetchval("SELECT now()"))
        jids.append(str(jid))
        if seen is not None:
            times.append(_time(seen))

    refused = await asked.each(work)
    told = result(Field("accountjids", jids, "jid-multi"), Field("lastlogin", times, "text-multi"))
    return [told, *refused]


async def _statistics(asked: Asked) -> list[Element]:
    """One form for each of the users."""
    jids = [*asked.jids("accountjid"), *asked.jids()]
    if not jids:
        raise bad_payload("whose statistics?")
    return [await _told(asked, asked.account(text)) for text in jids]


async def _told(asked: Asked, jid: Jid) -> Element:
    account = await users.find(asked.desk, jid)
    roster = await rosters.read(asked.desk, jid)
    online = await sessions.of_account(asked.desk.cluster, str(jid))
    resources = [row.jid.partition("/")[2] for row in online.rows]
    return result(
        Field("accountjid", (str(jid),), "jid-single"),
        Field("rostersize", (str(len(roster)),), label="Contacts"),
        Field("onlineresources", resources, "text-multi", "Resources"),
        Field("created", (_time(account.created),), label="Made"),
        Field("disabled", ("1" if account.disabled else "0",), "boolean", "May not log in"),
    )


def _time(at: datetime) -> str:
    """As XEP-0082 writes it."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


WORK: Final[dict[str, Work]] = {
    "add-user": _add,
    "delete-user": _delete,
    "disable-user": _disable,
    "reenable-user": _reenable,
    "end-user-session": _end,
    "change-user-password": _password,
    "get-user-roster": _roster,
    "get-user-lastlogin": _last_login,
    "user-stats": _statistics,
}
