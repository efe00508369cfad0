"""What is stored of a message, and which messages are stored at all."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final, NamedTuple

import msgpack

from rookery.shared.xeps.delayed_delivery import NS as NS_DELAY
from rookery.shared.xeps.delayed_delivery import unstamped
from rookery.shared.xmpp.stanza import Stanza

HINTS: Final = "urn:xmpp:hints"
CHAT_STATES: Final = "http://jabber.org/protocol/chatstates"
_STANZA_ID: Final = "urn:xmpp:sid:0"
_CARBONS: Final = "urn:xmpp:carbons:2"
#: RFC 6121 section 5.2.2: a type that is not one of these (or none) is handled as normal.
_OTHER_TYPES: Final = frozenset({"chat", "groupchat", "headline", "error"})
#: Elements that say nothing by themselves: how a message is to be treated, or which conversation it belongs to.
_EMPTY_NAMESPACES: Final = frozenset({CHAT_STATES, HINTS, _STANZA_ID, _CARBONS})
_EMPTY_NAMES: Final = frozenset({("jabber:client", "thread")})

_new: Final = tuple.__new__
_pack: Final = msgpack.Packer(use_bin_type=True, autoreset=True).pack


class Row(NamedTuple):
    """One row of the table `message`; `stamp` is in Unix seconds, `stanza` packed.

    `owed` is what offline delivery still has to bring; a row that is not `archived` goes when it is no longer owed.
    """

    owner_id: int
    id: int
    stream: bytes
    n: int
    digest: bytes
    peer: str
    outgoing: bool
    archived: bool
    owed: bool
    stamp: float
    stanza: bytes


def pack_stanza(stanza: Stanza) -> bytes:
    """The stored form."""
    packed: bytes = _pack(stanza)
    return packed


def unpack_stanza(packed: bytes) -> Stanza:
    """Read the stored form."""
    return Stanza.unpack(msgpack.unpackb(packed, use_list=False))


def digest(packed: bytes) -> bytes:
    """16 bytes that tell a repetition from another stanza that reuses the number (stream, n)."""
    return blake2b(packed, digest_size=16).digest()


def stanza_digest(stanza: Stanza) -> bytes:
    """The digest of a stanza as it came, for a row that has it in another form."""
    return digest(pack_stanza(_unstamped(stanza) if b"urn:xmpp:delay" in stanza.inner else stanza))


def make_row(
    owner_id: int,
    id: int,
    stream: bytes,
    n: int,
    stanza: Stanza,
    *,
    peer: str,
    outgoing: bool,
    archived: bool,
    owed: bool,
    stamp: float,
) -> Row:
    """The row of `stanza`, which came as number `n` of `stream`; it has no stanza id, since that is the row's own.

    A stanza that the server made has no stream: its own archive id is its number.
    """
    packed = pack_stanza(stanza)
    digested = digest(packed if b"urn:xmpp:delay" not in stanza.inner else pack_stanza(_unstamped(stanza)))
    # (Row's own constructor is a Python function around this call.)
    return _new(
        Row,
        (
            owner_id,
            id,
            stream,
            n if stream else id,
            digested,
            peer,
            outgoing,
            archived,
            owed,
            stamp,
            packed,
        ),
    )


def _unstamped(stanza: Stanza) -> Stanza:
    """Without its sender's delay stamps: a repetition may have one that its original had not."""
    payloads = tuple(payload for payload in stanza.payloads if tuple(payload) != (NS_DELAY, "delay"))
    return stanza.replace(payloads=payloads, inner=unstamped(stanza.inner))


def message_type(stanza: Stanza) -> str:
    """The type as RFC 6121 section 5.2.2 reads it."""
    return stanza.type if stanza.type in _OTHER_TYPES else "normal"


def says_something(stanza: Stanza) -> bool:
    """False for what has only chat states (XEP-0085), hints, ids or a thread in it."""
    for payload in stanza.payloads:
        if payload[0] not in _EMPTY_NAMESPACES and tuple(payload) not in _EMPTY_NAMES:
            return True
    return False


def offline_eligible(stanza: Stanza) -> bool:
    """Whether a message that no resource takes is kept for later (XEP-0160 section 3, hints of XEP-0334).

    | type             | kept                                                              |
    |------------------|-------------------------------------------------------------------|
    | normal, chat     | yes; not when it has only chat states, or the hint no-store       |
    | groupchat, error | no                                                                |
    | headline         | no                                                                |

    `<no-permanent-store/>` forbids an archive, not this. `<store/>` keeps also a chat state.
    """
    if stanza.kind != "message" or message_type(stanza) not in ("normal", "chat"):
        return False
    if not stanza.has(HINTS):
        return says_something(stanza)
    if stanza.has(HINTS, "no-store"):
        return False
    return says_something(stanza) or stanza.has(HINTS, "store")


def archivable(stanza: Stanza) -> bool:
    """Whether a message belongs into a user's archive: all that offline storage would keep, if it may be kept for good.

    That is more than XEP-0313 section 5.1.1 asks for (what has a body): receipts and markers are what other clients of the user
    need to know, too. Groupchat messages are in the room's archive.
    """
    if not stanza.has(HINTS):
        return offline_eligible(stanza)
    return offline_eligible(stanza) and not stanza.has(HINTS, "no-permanent-store")


def durable(stanza: Stanza) -> bool:
    """Whether a stanza is of the class that is never lost once accepted; everything else is delivered at most once."""
    if stanza.kind == "message" and stanza.type == "groupchat":
        return says_something(stanza) and not stanza.has(HINTS, "no-store")
    return offline_eligible(stanza)
