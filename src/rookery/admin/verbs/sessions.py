"""Verbs about sessions: who is online."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from rookery.admin import names, sessions
from rookery.admin.desk import Desk
from rookery.admin.errors import Invalid, NotFound
from rookery.admin.sessions import Page
from rookery.admin.verb import AnyJid, Given, Limit, OfUser, Taken, UserJid, Verb
from rookery.shared.xmpp.jid import Jid

OneDomain = Annotated[str, Meta(description="Only of this domain", max_length=1023)]
Reason = Annotated[str, Meta(description="What the client is told", max_length=1000)]


class Session(Given, frozen=True, kw_only=True):
    """A connected client, or one that lost its connection and may still resume (`state` is then "detached")."""

    jid: str
    state: str
    priority: int
    edge: str
    resumable: bool


class SessionPage(Given, frozen=True, kw_only=True):
    """A page of sessions, how many there are in all; `next` is the `after` of the page that follows, null on the last."""

    items: list[Session]
    total: int
    next: str | None


class ListSessions(Taken, frozen=True, kw_only=True):
    """Which sessions."""

    domain: OneDomain = ""
    after: Annotated[str, Meta(description="Begin behind this full JID", max_length=3071)] = ""
    limit: Limit = 100


class CountSessions(Taken, frozen=True, kw_only=True):
    """Of which domain."""

    domain: OneDomain = ""


class Count(Given, frozen=True, kw_only=True):
    """How many."""

    count: int


class EndSession(Taken, frozen=True, kw_only=True):
    """Which session, and why."""

    jid: AnyJid
    reason: Reason = ""


class EndSessions(Taken, frozen=True, kw_only=True):
    """Whose sessions, and why."""

    jid: UserJid
    reason: Reason = ""


def _shown(page: Page) -> SessionPage:
    return SessionPage(
        items=[
            Session(
                jid=row.jid, state=row.state, priority=row.priority, edge=row.edge, resumable=row.resumable
            )
            for row in page.rows
        ],
        total=page.total,
        next=page.rows[-1].jid if page.more and page.rows else None,
    )


async def _list(desk: Desk, taken: ListSessions) -> SessionPage:
    domain = names.domain(taken.domain) if taken.domain else ""
    return _shown(await sessions.listed(desk.cluster, domain, taken.after, taken.limit))


async def _count(desk: Desk, taken: CountSessions) -> Count:
    return Count(
        count=await sessions.counted(desk.cluster, names.domain(taken.domain) if taken.domain else "")
    )


async def _of_user(desk: Desk, taken: OfUser) -> SessionPage:
    return _shown(await sessions.of_account(desk.cluster, str(names.account(taken.jid))))


async def kick(desk: Desk, jid: Jid, reason: str) -> int:
    """End sessions and tell who did it. Raises Unreachable."""
    count = await sessions.ended(desk.cluster, jid, reason)
    if count:
        await desk.tell([desk.audit("session kick", jid.bare, resource=jid.resource, sessions=count)])
    return count


async def _kick(desk: Desk, taken: EndSession) -> Count:
    jid = names.user(taken.jid)
    if jid.resource is None:
        raise Invalid(f"{jid} is not a session: write it as alice@localhost/phone")
    count = await kick(desk, jid, taken.reason)
    if not count:
        raise NotFound(f"{jid} is no session")
    return Count(count=count)


async def _kick_all(desk: Desk, taken: EndSessions) -> Count:
    return Count(count=await kick(desk, names.account(taken.jid), taken.reason))


VERBS: Final = (
    Verb(
        "sessions.list",
        "sessions",
        "GET",
        "/v1/sessions",
        ListSessions,
        SessionPage,
        _list,
        "List sessions",
        errors=(503,),
    ),
    Verb(
        "sessions.count",
        "sessions",
        "GET",
        "/v1/sessions/count",
        CountSessions,
        Count,
        _count,
        "Count sessions",
        errors=(503,),
    ),
    Verb(
        "sessions.kick",
        "sessions",
        "DELETE",
        "/v1/sessions/{jid}",
        EndSession,
        Count,
        _kick,
        "End one session",
        errors=(404, 503),
    ),
    Verb(
        "sessions.of_user",
        "sessions",
        "GET",
        "/v1/users/{jid}/sessions",
        OfUser,
        SessionPage,
        _of_user,
        "List the sessions of a user",
        errors=(503,),
    ),
    Verb(
        "sessions.kick_user",
        "sessions",
        "DELETE",
        "/v1/users/{jid}/sessions",
        EndSessions,
        Count,
        _kick_all,
        "End all sessions of a user",
        errors=(503,),
    ),
)
