"""Chat rooms."""

from __future__ import annotations

from typing import Final

from rookery.admin import names, rooms
from rookery.admin.errors import Invalid
from rookery.admin.web.rendering import segment
from rookery.admin.web.visit import Moved, Page, Shown, Visit

_PAGE: Final = 50
AFFILIATIONS: Final = ("owner", "admin", "member", "none", "outcast")


async def _list(visit: Visit) -> Shown:
    service = visit.asked("service")
    lines, more = await rooms.page(
        visit.desk, names.domain(service) if service else "", visit.asked("after"), _PAGE
    )
    return Shown("rooms.html", {"rows": lines, "next": lines[-1].jid if more else "", "service": service})


async def _one(visit: Visit) -> Shown:
    jid = str(names.room(visit.fields["room"]))
    return Shown("room.html", {"view": await rooms.find(visit.desk, jid), "affiliations": AFFILIATIONS})


async def _create(visit: Visit) -> Moved:
    jid, owner = str(names.room(visit.given("room"))), str(names.account(visit.given("owner")))
    settings = rooms.settings(visit.given("name"), hidden=visit.given("hidden") == "1")
    await rooms.create(visit.desk, jid, owner, settings)
    return Moved(f"rooms/{segment(jid)}", "room")


async def _affiliate(visit: Visit) -> Moved:
    jid = str(names.room(visit.fields["room"]))
    affiliation = visit.given("affiliation")
    if affiliation not in AFFILIATIONS:
        raise Invalid(f"there is no affiliation {affiliation!r}")
    await rooms.affiliate(visit.desk, jid, names.address(visit.given("jid")).bare, affiliation)
    return Moved(f"rooms/{segment(jid)}", "affiliation")


async def _destroy(visit: Visit) -> Moved:
    if visit.given("sure") != "yes":
        raise Invalid("say that you are sure")
    await rooms.destroy(visit.desk, str(names.room(visit.fields["room"])), visit.given("reason"))
    return Moved("rooms", "destroyed")


PAGES: Final = (
    Page("GET", "/admin/rooms", "rooms.list", "rooms", _list),
    Page("POST", "/admin/rooms", "rooms.create", "rooms", _create),
    Page("GET", "/admin/rooms/{room}", "rooms.get", "rooms", _one),
    Page("POST", "/admin/rooms/{room}/affiliation", "rooms.affiliate", "rooms", _affiliate),
    Page("POST", "/admin/rooms/{room}/destroy", "rooms.destroy", "rooms", _destroy),
)
