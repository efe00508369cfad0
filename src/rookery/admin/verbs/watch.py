"""Verbs that watch an account. They change what edges remember, so "read" does not allow them; content needs a scope of its own."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Final

from msgspec import Meta

from rookery.admin import names, watching
from rookery.admin.desk import Desk
from rookery.admin.verb import Given, OfUser, Verb


class WatchUser(OfUser, frozen=True, kw_only=True):
    """Whom to watch, from where on."""

    cursor: Annotated[str, Meta(description="What the last answer said; empty begins", max_length=65_536)] = (
        ""
    )


class SeenStanza(Given, frozen=True, kw_only=True, rename={"from_": "from"}):
    """A stanza that a session has sent or was given; `names` are those of its children, `content` is told to who may read it."""

    at: datetime
    edge: str
    session: str
    sent: bool
    kind: str
    type: str
    from_: str
    to: str
    id: str
    names: list[str]
    octets: int
    content: str | None = None


class SeenPage(Given, frozen=True, kw_only=True):
    """What has passed, in order; hand `cursor` back within 15 seconds."""

    items: list[SeenStanza]
    cursor: str


async def _look(desk: Desk, taken: WatchUser, bodies: bool) -> SeenPage:
    jid, cursor = names.account(taken.jid), watching.unpacked(taken.cursor)
    if not cursor:
        await watching.begin(desk, jid, bodies=bodies)
    found = await watching.look(desk, await watching.edges(desk), jid, cursor, bodies=bodies)
    return SeenPage(items=[_shown(one) for one in found.stanzas], cursor=watching.packed(found.cursor))


def _shown(one: dict[str, Any]) -> SeenStanza:
    told = {
        name: one[name] for name in ("edge", "session", "sent", "kind", "type", "to", "id", "names", "octets")
    }
    at = datetime.fromtimestamp(one["at"], UTC)
    return SeenStanza(**told, at=at, from_=one["from"], content=one.get("content"))


async def _watch(desk: Desk, taken: WatchUser) -> SeenPage:
    return await _look(desk, taken, False)


async def _watch_bodies(desk: Desk, taken: WatchUser) -> SeenPage:
    return await _look(desk, taken, True)


VERBS: Final = (
    Verb(
        "watch.user",
        "watch",
        "POST",
        "/v1/users/{jid}/watch",
        WatchUser,
        SeenPage,
        _watch,
        "Tell what the sessions of a user have sent and got, without content",
    ),
    Verb(
        "watch.content",
        "bodies",
        "POST",
        "/v1/users/{jid}/watch/content",
        WatchUser,
        SeenPage,
        _watch_bodies,
        "Tell it with content",
    ),
)
