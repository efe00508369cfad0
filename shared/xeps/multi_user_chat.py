"""XEP-0045: Multi-User Chat."""

from __future__ import annotations

from typing import Annotated, Final

from rookery.shared.options import Section, about
from rookery.shared.xeps._xep import Target, Xep

NS: Final = "http://jabber.org/protocol/muc"
USER: Final = NS + "#user"
ADMIN: Final = NS + "#admin"
OWNER: Final = NS + "#owner"
CONFIG: Final = NS + "#roomconfig"
INFO: Final = NS + "#roominfo"
REGISTER: Final = NS + "#register"
REQUEST: Final = NS + "#request"
STABLE_ID: Final = NS + "#stable_id"
TRAFFIC: Final = NS + "#traffic"
UNIQUE: Final = NS + "#unique"
RESERVED_NICK: Final = "x-roomuser-item"


class Options(Section, frozen=True):
    """Rooms: what they may cost, and what a new one is like."""

    nick_bytes: Annotated[int, about("Length of a nick", "bytes", ge=1, le=1023)] = 128
    status_bytes: Annotated[int, about("Length of a status text in a room", "bytes", ge=0)] = 1024
    presence_bytes: Annotated[int, about("Size of a presence that a room repeats", "bytes", ge=256)] = 8192
    subject_bytes: Annotated[int, about("Length of a subject", "bytes", ge=0)] = 4096
    reason_bytes: Annotated[
        int, about("Length of a reason: of a kick, a ban, an invitation", "bytes", ge=0)
    ] = 1024
    name_bytes: Annotated[int, about("Length of the name of a room", "bytes", ge=1)] = 256
    description_bytes: Annotated[
        int, about("Length of the description of a room, and of a password", "bytes", ge=1)
    ] = 2048
    message_bytes: Annotated[int, about("Size of a message that a room repeats", "bytes", ge=1024)] = 65_536
    card_bytes: Annotated[int, about("Size of the vCard of a room, picture included", "bytes", ge=0)] = 65_536
    occupants_max: Annotated[
        int, about("Occupants of a room, whatever its owners say", "occupants", ge=1)
    ] = 10_000
    occupants_reserved: Annotated[
        int, about("Places in a full room that are kept for its owners and admins", "occupants", ge=0)
    ] = 20
    sessions_max: Annotated[
        int, about("Sessions of one account in a room, under one nick or several", "sessions", ge=1)
    ] = 20
    affiliations_max: Annotated[
        int, about("Entries in the lists of members, admins, owners and outcasts", "entries", ge=1)
    ] = 20_000
    items_max: Annotated[int, about("Items in one request to change lists or roles", "items", ge=1)] = 500
    messages_per_second: Annotated[
        float, about("Messages of one occupant", "messages per second", ge=0.1)
    ] = 10.0
    messages_burst: Annotated[
        int,
        about(
            "Messages of one occupant at once; where over 100 are in, as many as make 30 000 deliveries, but 50",
            "messages",
            ge=1,
        ),
    ] = 300
    presences_per_second: Annotated[
        float, about("Changes of presence or nick of one occupant", "presences per second", ge=0.1)
    ] = 2.0
    presences_burst: Annotated[
        int, about("Changes of presence or nick of one occupant at once", "presences", ge=1)
    ] = 20
    joins_per_second: Annotated[float, about("Who enters one room", "joins per second", ge=0.1)] = 200.0
    joins_burst: Annotated[int, about("Who enters one room at once", "joins", ge=1)] = 1000
    history: Annotated[int, about("Messages that somebody gets who enters", "messages", ge=0)] = 20
    history_max: Annotated[
        int, about("The same when asked for, whatever owner and client say", "messages", ge=0)
    ] = 100
    introductions_per_second: Annotated[
        int,
        about(
            "Presences of newcomers that one room tells, counted for each who hears; the rest is told later",
            "presences per second",
            ge=100,
        ),
    ] = 10_000
    introductions_burst: Annotated[int, about("The same at once", "presences", ge=1000)] = 50_000
    silence_seconds: Annotated[
        int,
        about(
            "Silence after which an occupant of another server is asked whether it is there; 0: never",
            "s",
            ge=0,
        ),
    ] = 600
    unreachable_seconds: Annotated[
        int,
        about(
            "Time without a word from another server that cannot be reached after which its users leave the rooms; 0: never",
            "s",
            ge=0,
        ),
    ] = 50
    large: Annotated[
        int,
        about(
            "Rooms with more occupants do not tell everybody of everybody: only moderators see all, newcomers see these",
            "occupants",
            ge=1,
        ),
    ] = 2000
    rooms_owned_max: Annotated[
        int,
        about(
            "Rooms of one owner, behind which it makes no more; operators and owners may give it more",
            "rooms",
            ge=1,
        ),
    ] = 200
    create: Annotated[bool, about("Whether every account of the cluster may make rooms")] = True
    old_joins: Annotated[
        bool, about("Whether presence without the element of section 7.2.1 enters, as in groupchat 1.0")
    ] = False
    persistent: Annotated[bool, about("Whether a new room stays when nobody is in it")] = False
    public: Annotated[bool, about("Whether a new room is listed")] = True
    archive: Annotated[bool, about("Whether a new room keeps an archive")] = True


XEP = Xep(
    45,
    "1.35.5",
    "complete",
    features={Target.SERVICE: (NS, STABLE_ID, UNIQUE), Target.ROOM: (NS, STABLE_ID)},
    implemented_in="workers.muc",
    note="groupchat 1.0 joins are a setting",
    options=Options,
)
