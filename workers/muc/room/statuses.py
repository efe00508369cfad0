"""All status codes of section 10 and 15.6, each once: nothing else in the room writes a number."""

from __future__ import annotations

from typing import Final, NamedTuple

from rookery.shared.xeps.multi_user_chat import USER


class Status(NamedTuple):
    """A code of the registry: the stanza that it stands in, the context, what it tells."""

    code: int
    stanza: str
    context: str
    purpose: str


_ROWS: Final = (
    Status(100, "message or presence", "Entering a room", "any occupant may see the user's full JID"),
    Status(
        101, "message", "Affiliation change", "the affiliation of somebody who is not in the room changed"
    ),
    Status(102, "message", "Configuration change", "unavailable members are shown now"),
    Status(103, "message", "Configuration change", "unavailable members are not shown now"),
    Status(104, "message", "Configuration change", "something that is not about privacy changed"),
    Status(110, "presence", "Any room presence", "the presence is the recipient's own"),
    Status(170, "message or initial presence", "Configuration change", "what is said is logged"),
    Status(171, "message", "Configuration change", "what is said is not logged any more"),
    Status(172, "message", "Configuration change", "the room is non-anonymous now"),
    Status(173, "message", "Configuration change", "the room is semi-anonymous now"),
    Status(201, "presence", "Entering a room", "the room was created"),
    Status(210, "presence", "Entering a room, changing nickname", "the service chose the nick"),
    Status(301, "presence", "Removal from room", "banned"),
    Status(303, "presence", "Exiting a room", "the new nick"),
    Status(307, "presence", "Removal from room", "kicked"),
    Status(321, "presence", "Removal from room", "the affiliation changed"),
    Status(322, "presence", "Removal from room", "the room is for members only now"),
    Status(332, "presence", "Removal from room", "the service is shut down"),
    Status(333, "presence", "Removal from room", "an error came back"),
)
STATUSES: Final = {row.code: row for row in _ROWS}

NON_ANONYMOUS: Final = 100
AFFILIATION_CHANGED: Final = 101
CONFIGURATION_CHANGED: Final = 104
SELF: Final = 110
LOGGED: Final = 170
NOT_LOGGED: Final = 171
NOW_NON_ANONYMOUS: Final = 172
NOW_SEMI_ANONYMOUS: Final = 173
CREATED: Final = 201
NICK_CHOSEN: Final = 210
BANNED: Final = 301
NEW_NICK: Final = 303
KICKED: Final = 307
AFFILIATION_LOST: Final = 321
MEMBERS_ONLY_NOW: Final = 322
SHUT_DOWN: Final = 332
ERROR_CAME: Final = 333

#: The written form of each.
ELEMENTS: Final = {code: f"<status code='{code}'/>" for code in STATUSES}


def notice(codes: tuple[int, ...]) -> bytes:
    """The element that tells of codes and of nothing else (section 10.2.1)."""
    return f"<x xmlns='{USER}'>{''.join(ELEMENTS[code] for code in codes)}</x>".encode()
