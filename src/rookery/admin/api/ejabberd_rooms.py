"""Commands about rooms under ejabberd's names. A room is its localpart and its service; older scripts write `name` for `room`."""

from __future__ import annotations

from typing import Any, Final

from rookery.admin import names, rooms
from rookery.admin.api.ejabberd_command import Command, Text
from rookery.admin.desk import Desk
from rookery.admin.errors import Invalid
from rookery.admin.rooms import RoomView
from rookery.admin.verb import Taken
from rookery.shared.xmpp.jid import Jid

#: What ejabberd names `muc_online_rooms` of every service.
_EVERYWHERE: Final = "global"
_PAGE: Final = 500


class OfService(Taken, frozen=True, kw_only=True):
    """A service of rooms, or "global"."""

    service: Text


class OfRoom(Taken, frozen=True, kw_only=True):
    """A room."""

    service: Text
    room: Text = ""
    name: Text = ""


class MakeRoom(OfRoom, frozen=True, kw_only=True):
    """A room, and the domain that it is made by."""

    host: Text


class OfAffiliation(OfRoom, frozen=True, kw_only=True):
    """Whose affiliation, as one address or as its parts."""

    jid: Text = ""
    user: Text = ""
    host: Text = ""


class SetAffiliation(OfAffiliation, frozen=True, kw_only=True):
    """What somebody is to be in a room."""

    affiliation: Text


def _room(taken: OfRoom) -> str:
    if not (taken.room or taken.name):
        raise Invalid("room is missing")
    return str(names.room(f"{taken.room or taken.name}@{taken.service}"))


def _whom(taken: OfAffiliation) -> str:
    return names.address(taken.jid or f"{taken.user}@{taken.host}").bare


async def _create(desk: Desk, taken: MakeRoom) -> int:
    """Nobody in particular makes it: its owner is the domain, and the operator names others."""
    await rooms.create(desk, _room(taken), names.domain(taken.host), rooms.settings())
    return 0


async def _destroy(desk: Desk, taken: OfRoom) -> int:
    await rooms.destroy(desk, _room(taken))
    return 0


async def _view(desk: Desk, taken: OfRoom) -> RoomView:
    return await rooms.find(desk, _room(taken))


async def _occupants(desk: Desk, taken: OfRoom) -> list[dict[str, Any]]:
    return [{"jid": full, "nick": nick} for nick, full in (await _view(desk, taken)).occupants]


async def _occupants_number(desk: Desk, taken: OfRoom) -> int:
    return (await _view(desk, taken)).line.occupants


async def _affiliations(desk: Desk, taken: OfRoom) -> list[dict[str, Any]]:
    found = []
    for who, affiliation in (await _view(desk, taken)).affiliations:
        jid = Jid.trusted(who)
        found.append(
            {"username": jid.local or "", "domain": jid.domain, "affiliation": affiliation, "reason": ""}
        )
    return found


async def _affiliation(desk: Desk, taken: OfAffiliation) -> str:
    return dict((await _view(desk, taken)).affiliations).get(_whom(taken), "none")


async def _affiliate(desk: Desk, taken: SetAffiliation) -> int:
    if taken.affiliation not in ("owner", "admin", "member", "none", "outcast"):
        raise Invalid(f"there is no affiliation {taken.affiliation!r}")
    await rooms.affiliate(desk, _room(taken), _whom(taken), taken.affiliation)
    return 0


async def _online(desk: Desk, taken: OfService) -> list[str]:
    service = "" if taken.service == _EVERYWHERE else names.domain(taken.service)
    found: list[str] = []
    more = True
    while more:
        lines, more = await rooms.page(desk, service, found[-1] if found else "", _PAGE)
        found += [line.jid for line in lines]
    return found


COMMANDS: Final[dict[str, Command]] = {
    "create_room": Command("rooms", MakeRoom, _create),
    "destroy_room": Command("rooms", OfRoom, _destroy),
    "get_room_occupants": Command("rooms", OfRoom, _occupants, True),
    "get_room_occupants_number": Command("rooms", OfRoom, _occupants_number, True),
    "get_room_affiliations": Command("rooms", OfRoom, _affiliations, True),
    "get_room_affiliation": Command("rooms", OfAffiliation, _affiliation, True),
    "set_room_affiliation": Command("rooms", SetAffiliation, _affiliate),
    "muc_online_rooms": Command("rooms", OfService, _online, True),
}
