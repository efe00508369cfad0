"""Reports of spam and abuse that users have made (XEP-0377)."""

from __future__ import annotations

from collections.abc import Sequence

from rookery.admin import names
from rookery.admin.desk import Desk
from rookery.admin.errors import NotFound
from rookery.workers.account import reports
from rookery.workers.account.reports import Row as Row


async def listed(desk: Desk, about: str = "", limit: int = 100) -> Sequence[Row]:
    """The newest reports, or those about an address or a domain. Raises Invalid."""
    address = names.address(about).full if about else ""
    return await desk.run(lambda conn: reports.listed(conn, address, limit))


async def drop(desk: Desk, id: int) -> None:
    """Remove a report that is dealt with. Raises NotFound."""
    if not await desk.run(lambda conn: reports.drop(conn, id)):
        raise NotFound(f"there is no report {id}")
    await desk.tell([desk.audit("report del", str(id))])
