"""Hosted domains, and what holds for them."""

from __future__ import annotations

from typing import Final

from rookery.admin import announcing, domains, names
from rookery.admin.web.rendering import segment
from rookery.admin.web.visit import Moved, Page, Shown, Visit
from rookery.shared.bus.kinds import ACCOUNTS
from rookery.workers.account.policies import Changes


async def _list(visit: Visit) -> Shown:
    return Shown("domains.html", {"rows": await domains.listed(visit.desk)})


async def _one(visit: Visit) -> Shown:
    policy = await domains.find(visit.desk, names.domain(visit.fields["domain"]))
    return Shown("domain.html", {"policy": policy, "accounts": policy.kind == ACCOUNTS})


async def _change(visit: Visit) -> Moved:
    name = names.domain(visit.fields["domain"])
    policy = await domains.find(visit.desk, name)
    accounts = policy.kind == ACCOUNTS
    changes = Changes(
        registration=visit.given("registration") == "1" if accounts else None,
        admins=[str(names.account(jid)) for jid in visit.given("admins").split()],
        motd=_text(visit, "motd") if accounts else None,
        welcome=_text(visit, "welcome") if accounts else None,
        room_creation=visit.given("room_creation") if policy.kind == "rooms" else None,
    )
    await domains.put(visit.desk, name, None, changes)
    return Moved(f"domains/{segment(name)}", "domain")


def _text(visit: Visit, name: str) -> str:
    text = visit.given(name).replace("\r\n", "\n")
    if text:
        announcing.check(text)
    return text


async def _add(visit: Visit) -> Moved:
    name = names.domain(visit.given("name"))
    await domains.put(visit.desk, name, None, Changes())
    return Moved(f"domains/{segment(name)}", "domain")


async def _announce(visit: Visit) -> Moved:
    name = names.domain(visit.fields["domain"])
    await announcing.announce(visit.desk, name, visit.given("body").replace("\r\n", "\n"))
    return Moved(f"domains/{segment(name)}", "announced")


PAGES: Final = (
    Page("GET", "/admin/domains", "domains.list", "domains", _list),
    Page("POST", "/admin/domains", "domains.put", "domains", _add),
    Page("GET", "/admin/domains/{domain}", "domains.get", "domains", _one),
    Page("POST", "/admin/domains/{domain}", "domains.put", "domains", _change),
    Page("POST", "/admin/domains/{domain}/announce", "announcements.send", "announce", _announce),
)
