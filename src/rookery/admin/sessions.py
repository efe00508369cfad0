"""Who is online, and ending sessions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final, NamedTuple

from rookery.admin.cluster import Cluster
from rookery.shared.bus.messages import Ended, EndSessions, ListSessions, SessionList
from rookery.shared.xmpp.jid import Jid, bare_of

#: Most sessions that a router tells at once.
PAGE: Final = 500


class SessionRow(NamedTuple):
    """One session: its full JID, the edge that its client is connected to ("" while it is away and may resume), what it last said."""

    jid: str
    edge: str
    priority: int
    show: str
    resumable: bool

    @property
    def active(self) -> bool:
        """Whether the user seems to be there, as far as presence tells."""
        return bool(self.edge) and self.show in ("", "chat")

    @property
    def state(self) -> str:
        """One word for people: away clients first, then presence."""
        if not self.edge:
            return "detached"
        return self.show or "available"


class Page(NamedTuple):
    """Sessions in the order of their JIDs, how many there are in all, and whether more follow."""

    rows: tuple[SessionRow, ...]
    total: int
    more: bool


async def of_account(cluster: Cluster, account: str) -> Page:
    """The sessions of one account. Raises Unreachable."""
    found = await cluster.ask(account, ListSessions(account, "", "", 10_000), SessionList)
    rows = tuple(SessionRow(*row) for row in found.rows)
    return Page(rows, found.total, len(rows) < found.total)


async def listed(cluster: Cluster, domain: str, after: str, limit: int) -> Page:
    """At most `limit` sessions of a domain ("" for all) behind the full JID `after`. Raises Unreachable."""
    answers = (await cluster.ask_all(ListSessions("", domain, after, limit), SessionList)).values()
    rows = sorted(SessionRow(*row) for found in answers for row in found.rows)
    total = sum(found.total for found in answers)
    # A router may have given less than it has behind `after`; whoever gave a full page has perhaps more.
    return Page(
        tuple(rows[:limit]), total, len(rows) > limit or any(len(found.rows) >= limit for found in answers)
    )


async def counted(cluster: Cluster, domain: str) -> int:
    """How many sessions a domain has ("" for all). Raises Unreachable."""
    answers = await cluster.ask_all(ListSessions("", domain, "", 0), SessionList)
    return sum(found.total for found in answers.values())


class Online(NamedTuple):
    """How many accounts are connected, and how many of them have a client whose user is there."""

    accounts: int
    active: int


async def online(cluster: Cluster, domain: str) -> Online:
    """Count the accounts of a domain ("" for all) that are connected. Raises Unreachable."""
    answers = (await cluster.ask_all(ListSessions("", domain, "", 0, True), SessionList)).values()
    return Online(sum(found.accounts for found in answers), sum(found.active for found in answers))


async def ended(cluster: Cluster, jid: Jid, text: str) -> int:
    """End the session of a full JID, or all of a bare one, with a stream error; returns how many. Raises Unreachable, StanzaError."""
    account = bare_of(str(jid))
    return (
        await cluster.ask(account, EndSessions(account, jid.resource or "", "policy-violation", text), Ended)
    ).number


async def every(cluster: Cluster, domain: str) -> AsyncIterator[SessionRow]:
    """All sessions of a domain ("" for all), a page at a time. Raises Unreachable."""
    after, more = "", True
    while more:
        page = await listed(cluster, domain, after, PAGE)
        for row in page.rows:
            yield row
        more = page.more and bool(page.rows)
        after = page.rows[-1].jid if page.rows else ""
