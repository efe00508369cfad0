"""What waits for an operator: people who want an account, and reports of abuse."""

from __future__ import annotations

from typing import Final

from rookery.admin import names, registrations, reports
from rookery.admin.errors import NotFound
from rookery.admin.web.visit import Moved, Page, Shown, Visit

#: People and reports that are shown.
_MOST: Final = 200


async def _list(visit: Visit) -> Shown:
    people = await registrations.pending(visit.desk)
    newest = await reports.listed(visit.desk, visit.asked("about"), _MOST)
    return Shown(
        "waiting.html",
        {
            "people": people[:_MOST],
            "more": len(people) > _MOST,
            "reports": newest,
            "about": visit.asked("about"),
        },
    )


async def _approve(visit: Visit) -> Moved:
    await registrations.approve(visit.desk, names.account(visit.fields["jid"]))
    return Moved("waiting", "approved")


async def _reject(visit: Visit) -> Moved:
    await registrations.reject(visit.desk, names.account(visit.fields["jid"]))
    return Moved("waiting", "rejected")


async def _done(visit: Visit) -> Moved:
    number = visit.fields["id"]
    if not (number.isascii() and number.isdigit() and len(number) < 19):
        raise NotFound(f"there is no report {number}")
    await reports.drop(visit.desk, int(number))
    return Moved("waiting", "report")


PAGES: Final = (
    Page("GET", "/admin/waiting", "waiting.list", "users", _list),
    Page("POST", "/admin/waiting/{jid}/approve", "registrations.approve", "users", _approve),
    Page("POST", "/admin/waiting/{jid}/reject", "registrations.reject", "users", _reject),
    Page("POST", "/admin/reports/{id}/remove", "reports.remove", "users", _done),
)
