"""Rooms: what the rows tell of them, and changes, which their holders do."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from typing import Any, Final, NamedTuple

from rookery.admin.cluster import Cluster
from rookery.admin.desk import Desk
from rookery.admin.errors import Conflict, Invalid, NotFound
from rookery.shared.bus.kinds import Kind
from rookery.shared.bus.messages import AskRoom, RoomTold
from rookery.shared.db.api import Connection
from rookery.shared.xeps.data_forms import Field, form
from rookery.shared.xeps.multi_user_chat import ADMIN, CONFIG, OWNER
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

_COLUMNS: Final = """r.jid, r.name, r.description, r.public, r.persistent, extract(epoch FROM r.created)::float8 AS created,
    (SELECT count(DISTINCT o.nick) FROM room_occupant o WHERE o.room_id = r.id)::integer AS occupants"""
_LIST: Final = f"""
SELECT {_COLUMNS} FROM room r WHERE ($1 = '' OR split_part(r.jid, '@', 2) = $1) AND r.jid > $2 ORDER BY r.jid LIMIT $3"""  # noqa: S608  constants only
_ROOM: Final = f"SELECT r.id, {_COLUMNS} FROM room r WHERE r.jid = $1"  # noqa: S608
_OCCUPANTS: Final = "SELECT nick, jid FROM room_occupant WHERE room_id = $1 ORDER BY nick, jid"
_AFFILIATIONS: Final = """
SELECT a.jid, a.affiliation FROM room_affiliation a JOIN room r ON r.id = a.room_id
WHERE r.jid = $1 AND a.affiliation <> 'none' ORDER BY a.affiliation, a.jid"""
_SERVICE: Final = "SELECT EXISTS (SELECT FROM domain WHERE name = $1 AND kind = 'rooms')"
_ID: Final = "operator"


class RoomLine(NamedTuple):
    """One room. `public`: it is listed by discovery; `created` in Unix seconds; `occupants` counts nicks."""

    jid: str
    name: str
    description: str
    public: bool
    persistent: bool
    created: float
    occupants: int


class RoomView(NamedTuple):
    """A room, (nick, full JID) of who is in it, (JID, affiliation) of who has one."""

    line: RoomLine
    occupants: tuple[tuple[str, str], ...]
    affiliations: tuple[tuple[str, str], ...]


async def listed(conn: Connection, service: str, after: str, limit: int) -> list[RoomLine]:
    """At most `limit` rooms of a service ("" for all) behind the JID `after`, hidden ones too."""
    return [_line(row) for row in await conn.fetch(_LIST, service, after, limit)]


async def shown(conn: Connection, jid: str) -> RoomView | None:
    """One room; None when there is none."""
    row = await conn.fetchrow(_ROOM, jid)
    if row is None:
        return None
    occupants = tuple((one["nick"], one["jid"]) for one in await conn.fetch(_OCCUPANTS, row["id"]))
    return RoomView(_line(row), occupants, tuple(await affiliations(conn, jid)))


async def affiliations(conn: Connection, jid: str) -> list[tuple[str, str]]:
    """(JID, affiliation) of all who have one in a room."""
    return [(one["jid"], one["affiliation"]) for one in await conn.fetch(_AFFILIATIONS, jid)]


async def is_service(conn: Connection, domain: str) -> bool:
    """Whether a domain is a hosted service of rooms."""
    return bool(await conn.fetchval(_SERVICE, domain))


async def page(desk: Desk, service: str, after: str, limit: int) -> tuple[list[RoomLine], bool]:
    """A page of rooms, and whether more follow."""
    found = await desk.run(lambda conn: listed(conn, service, after, limit + 1))
    return found[:limit], len(found) > limit


async def find(desk: Desk, jid: str) -> RoomView:
    """One room. Raises NotFound."""
    view = await desk.run(lambda conn: shown(conn, jid))
    if view is None:
        raise NotFound(f"there is no room {jid}: see `rookery room list`")
    return view


def settings(name: str = "", *, hidden: bool = False, members_only: bool = False) -> dict[str, str]:
    """What a new room is configured with (muc#roomconfig); it stays when nobody is in it."""
    found = {"persistentroom": "1"}
    if name:
        found["roomname"] = name
    if hidden:
        found["publicroom"] = "0"
    if members_only:
        found["membersonly"] = "1"
    return found


async def create(desk: Desk, jid: str, owner: str, settings: Mapping[str, str]) -> None:
    """Make a room for an owner and tell who did it. Raises Conflict, Invalid, NotFound, Unreachable."""
    await _change(desk, jid, created(desk.cluster, jid, owner, settings))
    await desk.tell([desk.audit("room create", jid, owner=owner)])


async def destroy(desk: Desk, jid: str, reason: str = "", alternative: str = "") -> None:
    """Destroy a room with its archive and tell who did it. Raises Invalid, NotFound, Unreachable."""
    await _change(desk, jid, destroyed(desk.cluster, jid, reason, alternative))
    told = desk.audit("room destroy", jid, reason=reason or None, alternative=alternative or None)
    await desk.tell([told])


async def affiliate(desk: Desk, jid: str, whom: str, affiliation: str, reason: str = "") -> None:
    """Give somebody an affiliation and tell who did it. Raises Conflict, Invalid, NotFound, Unreachable."""
    await _change(desk, jid, given(desk.cluster, jid, whom, affiliation, reason))
    told = desk.audit("room affiliations", jid, whom=whom, affiliation=affiliation, reason=reason or None)
    await desk.tell([told])


async def _change(desk: Desk, jid: str, work: Coroutine[Any, Any, None]) -> None:
    service = jid.rpartition("@")[2]
    if not await desk.run(lambda conn: is_service(conn, service)):
        work.close()
        raise NotFound(f"{service} is no service of rooms: see `rookery domain list`")
    try:
        await work
    except StanzaError as error:
        refused = {"item-not-found": NotFound, "conflict": Conflict}.get(error.condition, Invalid)
        raise refused(f"{jid}: {error.text or error.condition}") from None


async def created(cluster: Cluster, jid: str, owner: str, settings: Mapping[str, str]) -> None:
    """Make a room for an owner (a bare JID); `settings` are fields of muc#roomconfig. Raises Unreachable, StanzaError."""
    fields = [Field(f"muc#roomconfig_{name}", (value,)) for name, value in settings.items()]
    await _ask(
        cluster, jid, Element(OWNER, "query", None, form("submit", CONFIG, fields)), owner, twice=False
    )


async def destroyed(cluster: Cluster, jid: str, reason: str, alternative: str) -> None:
    """Destroy a room; those who are in it are told why, and where to go (XEP-0045 section 10.9). Raises Unreachable, StanzaError."""
    destroy = Element(OWNER, "destroy", {"jid": alternative} if alternative else {})
    if reason:
        destroy.children.append(Element(OWNER, "reason", None, reason))
    await _ask(cluster, jid, Element(OWNER, "query", None, destroy), twice=False)


async def given(cluster: Cluster, jid: str, whom: str, affiliation: str, reason: str) -> None:
    """Give somebody an affiliation in a room (XEP-0045 sections 9 and 10). Raises Unreachable, StanzaError."""
    item = Element(ADMIN, "item", {"affiliation": affiliation, "jid": whom})
    if reason:
        item.children.append(Element(ADMIN, "reason", None, reason))
    await _ask(cluster, jid, Element(ADMIN, "query", None, item))


async def _ask(cluster: Cluster, jid: str, query: Element, owner: str = "", *, twice: bool = True) -> None:
    service = jid.rpartition("@")[2]
    stanza = Stanza.build("iq", query, type="set", id=_ID, from_=service, to=jid)
    await cluster.ask(jid, AskRoom(stanza, owner), RoomTold, Kind.MUC, twice=twice)


def _line(row: Any) -> RoomLine:
    return RoomLine(*(row[name] for name in RoomLine._fields))
