"""Users and their sessions."""

from __future__ import annotations

from typing import Final

from rookery.admin import domains, names, rosters, sessions, users
from rookery.admin.errors import Invalid, NotFound
from rookery.admin.verbs.sessions import kick
from rookery.admin.web.rendering import segment
from rookery.admin.web.visit import Moved, Page, Shown, Visit
from rookery.shared.bus.kinds import ACCOUNTS
from rookery.shared.xmpp.jid import Jid

_PAGE: Final = 50


async def _list(visit: Visit) -> Shown:
    hosted = [policy.name for policy in await domains.listed(visit.desk) if policy.kind == ACCOUNTS]
    domain = visit.asked("domain") or (hosted[0] if hosted else "")
    search, after = visit.asked("search"), visit.asked("after")
    page = await users.searched(visit.desk, names.domain(domain), search, after, _PAGE) if domain else None
    return Shown(
        "users.html",
        {
            "domains": hosted,
            "domain": domain,
            "search": search,
            "rows": page.rows if page else [],
            "next": page.next if page else "",
        },
    )


async def _online(visit: Visit) -> Shown:
    domain = visit.asked("domain")
    page = await sessions.listed(
        visit.desk.cluster, names.domain(domain) if domain else "", visit.asked("after"), _PAGE
    )
    hosted = [policy.name for policy in await domains.listed(visit.desk) if policy.kind == ACCOUNTS]
    return Shown("sessions.html", {"page": page, "domain": domain, "domains": hosted})


async def _one(visit: Visit) -> Shown:
    jid = names.account(visit.fields["jid"])
    account = await users.find(visit.desk, jid)
    return Shown(
        "user.html",
        {
            "jid": str(jid),
            "account": account,
            "sessions": (await sessions.of_account(visit.desk.cluster, str(jid))).rows,
            "roster": await rosters.read(visit.desk, jid),
        },
    )


def _back(jid: Jid, done: str) -> Moved:
    return Moved(f"users/{segment(jid)}", done)


async def _create(visit: Visit) -> Moved:
    jid = names.account(visit.given("jid"))
    await users.create(visit.desk, jid, visit.form.get("password", ""), visit.given("email"))
    return _back(jid, "created")


async def _password(visit: Visit) -> Moved:
    jid = names.account(visit.fields["jid"])
    await users.set_password(visit.desk, jid, visit.form.get("password", ""))
    return _back(jid, "password")


async def _disabled(visit: Visit) -> Moved:
    jid, disabled = names.account(visit.fields["jid"]), visit.given("disabled") == "1"
    await users.set_disabled(visit.desk, jid, disabled)
    return _back(jid, "disabled" if disabled else "enabled")


async def _kick(visit: Visit) -> Moved:
    jid = names.account(visit.fields["jid"])
    resource = visit.form.get("resource", "")
    await kick(visit.desk, names.user(f"{jid}/{resource}") if resource else jid, visit.given("reason"))
    return _back(jid, "kicked")


async def _erase(visit: Visit) -> Moved:
    jid = names.account(visit.fields["jid"])
    if visit.given("sure") != "yes":
        raise Invalid("say that you are sure")
    if not await users.remove(visit.desk, [jid]):
        raise NotFound(f"there is no user {jid}")
    return Moved(f"users?domain={segment(jid.domain)}", "erased")


PAGES: Final = (
    Page("GET", "/admin/users", "users.list", "users", _list),
    Page("POST", "/admin/users", "users.create", "users", _create),
    Page("GET", "/admin/sessions", "sessions.list", "sessions", _online),
    Page("GET", "/admin/users/{jid}", "users.get", "users", _one),
    Page("POST", "/admin/users/{jid}/password", "users.password", "users", _password),
    Page("POST", "/admin/users/{jid}/disabled", "users.disabled", "users", _disabled),
    Page("POST", "/admin/users/{jid}/kick", "sessions.kick", "sessions", _kick),
    Page("POST", "/admin/users/{jid}/erase", "users.erase", "users", _erase),
)
