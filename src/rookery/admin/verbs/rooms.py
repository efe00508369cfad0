"""Verbs about chat rooms (XEP-0045)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Final, Literal

from msgspec import Meta

from rookery.admin import names, rooms
from rookery.admin.desk import Desk
from rookery.admin.rooms import RoomLine
from rookery.admin.verb import AnyJid, Given, Limit, Made, Taken, UserJid, Verb

RoomJid = Annotated[
    str, Meta(description="A room, as garden@conference.example.org", min_length=3, max_length=2047)
]
Reason = Annotated[str, Meta(description="What those who are in it are told", max_length=1000)]
AffiliationName = Literal["owner", "admin", "member", "none", "outcast"]


class Room(Given, frozen=True, kw_only=True):
    """A room; `occupants` counts nicks."""

    jid: str
    name: str
    description: str
    public: bool
    persistent: bool
    created: datetime
    occupants: int


class RoomPage(Given, frozen=True, kw_only=True):
    """A page of rooms; `next` is the `after` of the page that follows, null on the last."""

    items: list[Room]
    next: str | None


class Occupant(Given, frozen=True, kw_only=True):
    """Who is in a room."""

    nick: str
    jid: str


class Affiliated(Given, frozen=True, kw_only=True):
    """Who is what in a room."""

    jid: str
    affiliation: str


class RoomDetail(Given, frozen=True, kw_only=True):
    """A room with who is in it and who is what."""

    room: Room
    occupants: list[Occupant]
    affiliations: list[Affiliated]


class Affiliations(Given, frozen=True, kw_only=True):
    """Who is what in a room."""

    items: list[Affiliated]


class ListRooms(Taken, frozen=True, kw_only=True):
    """Which rooms."""

    service: Annotated[str, Meta(description="Only of this service of rooms", max_length=1023)] = ""
    after: Annotated[str, Meta(description="Begin behind this room", max_length=2047)] = ""
    limit: Limit = 100


class OfRoom(Taken, frozen=True, kw_only=True):
    """A room."""

    room: RoomJid


class CreateRoom(OfRoom, frozen=True, kw_only=True):
    """A room that stays when nobody is in it; its owner configures what is not said here."""

    owner: UserJid
    name: Annotated[str, Meta(max_length=1000)] = ""
    hidden: bool = False
    members_only: bool = False


class DestroyRoom(OfRoom, frozen=True, kw_only=True):
    """A room, and what those who are in it are told."""

    reason: Reason = ""
    alternative: Annotated[str, Meta(description="The room to go to instead", max_length=2047)] = ""


class SetAffiliation(OfRoom, frozen=True, kw_only=True):
    """What somebody is to be in a room: `outcast` bans, `none` takes back."""

    jid: AnyJid
    affiliation: AffiliationName
    reason: Annotated[str, Meta(description="Why; it is kept with the affiliation", max_length=1000)] = ""


def shown(line: RoomLine) -> Room:
    """A room as it is answered."""
    return Room(**{**line._asdict(), "created": datetime.fromtimestamp(line.created, UTC)})


async def _list(desk: Desk, taken: ListRooms) -> RoomPage:
    service = names.domain(taken.service) if taken.service else ""
    lines, more = await rooms.page(desk, service, taken.after, taken.limit)
    return RoomPage(items=[shown(line) for line in lines], next=lines[-1].jid if more else None)


async def _get(desk: Desk, taken: OfRoom) -> RoomDetail:
    return await detail(desk, str(names.room(taken.room)))


async def detail(desk: Desk, jid: str) -> RoomDetail:
    """A room as it is answered. Raises NotFound."""
    view = await rooms.find(desk, jid)
    return RoomDetail(
        room=shown(view.line),
        occupants=[Occupant(nick=nick, jid=full) for nick, full in view.occupants],
        affiliations=[Affiliated(jid=who, affiliation=what) for who, what in view.affiliations],
    )


async def _create(desk: Desk, taken: CreateRoom) -> Made:
    jid, owner = str(names.room(taken.room)), str(names.account(taken.owner))
    await rooms.create(
        desk, jid, owner, rooms.settings(taken.name, hidden=taken.hidden, members_only=taken.members_only)
    )
    return Made(await detail(desk, jid))


async def _destroy(desk: Desk, taken: DestroyRoom) -> None:
    alternative = str(names.room(taken.alternative)) if taken.alternative else ""
    await rooms.destroy(desk, str(names.room(taken.room)), taken.reason, alternative)


async def _affiliations(desk: Desk, taken: OfRoom) -> Affiliations:
    return Affiliations(items=(await detail(desk, str(names.room(taken.room)))).affiliations)


async def _affiliate(desk: Desk, taken: SetAffiliation) -> None:
    await rooms.affiliate(
        desk,
        str(names.room(taken.room)),
        names.address(taken.jid).bare,
        taken.affiliation,
        taken.reason,
    )


_ALL: Final = "/v1/rooms"
_ONE: Final = "/v1/rooms/{room}"
VERBS: Final = (
    Verb("rooms.list", "rooms", "GET", _ALL, ListRooms, RoomPage, _list, "List rooms, hidden ones too"),
    Verb("rooms.get", "rooms", "GET", _ONE, OfRoom, RoomDetail, _get, "Show a room", errors=(404,)),
    Verb(
        "rooms.create",
        "rooms",
        "POST",
        _ALL,
        CreateRoom,
        RoomDetail,
        _create,
        "Make a room for an owner",
        makes=True,
        errors=(404, 409, 503),
    ),
    Verb(
        "rooms.destroy",
        "rooms",
        "DELETE",
        _ONE,
        DestroyRoom,
        None,
        _destroy,
        "Destroy a room with its archive",
        errors=(404, 503),
    ),
    Verb(
        "rooms.affiliations",
        "rooms",
        "GET",
        f"{_ONE}/affiliations",
        OfRoom,
        Affiliations,
        _affiliations,
        "List who is what in a room",
        errors=(404,),
    ),
    Verb(
        "rooms.affiliate",
        "rooms",
        "PUT",
        f"{_ONE}/affiliations/{{jid}}",
        SetAffiliation,
        None,
        _affiliate,
        "Give somebody an affiliation in a room",
        errors=(404, 409, 503),
    ),
)
