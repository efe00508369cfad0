"""Other servers, and what waits for them."""

from __future__ import annotations

from typing import Final

from rookery.admin import federation, names
from rookery.admin.web.visit import Moved, Page, Shown, Visit

#: Domains that are shown.
_MOST: Final = 500


async def _list(visit: Visit) -> Shown:
    everything = visit.asked("all") == "1"
    rows = await federation.peers(visit.desk, waiting=not everything)
    return Shown("s2s.html", {"rows": rows[:_MOST], "more": len(rows) > _MOST, "all": everything})


async def _retry(visit: Visit) -> Moved:
    await federation.retry(visit.desk, names.domain(visit.fields["remote"]))
    return Moved("s2s", "retry")


async def _drop(visit: Visit) -> Moved:
    await federation.drop(visit.desk, names.domain(visit.fields["remote"]))
    return Moved("s2s", "dropped")


PAGES: Final = (
    Page("GET", "/admin/s2s", "s2s.list", "s2s", _list),
    Page("POST", "/admin/s2s/{remote}/retry", "s2s.retry", "s2s", _retry),
    Page("POST", "/admin/s2s/{remote}/drop", "s2s.drop", "s2s", _drop),
)
