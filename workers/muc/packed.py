"""What a room has said, packed for the holder after this one: see the table `room_saying`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

import msgpack

from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.muc.outs import Out, Say, Send, Tell

#: Format of a packed saying; one of another version is not said again.
VERSION: Final = 1
#: An audience of up to so many is always spelled out.
_SPELLED: Final = 16
_SAY, _TELL, _ENTRANCE = 0, 1, 2
#: (a packer of its own for each saying would take a megabyte each time)
_pack: Final = msgpack.Packer().pack

Numbered = tuple[Sequence[int], Out]


def pack(outs: Sequence[Numbered], everybody: Collection[str] = ()) -> bytes:
    """All that is said to occupants; what somebody is told who comes in is made anew, and what is sent elsewhere is kept elsewhere.

    `everybody` is who is in the room: an audience of most of them is packed as all but the rest.
    """
    parts: list[Any] = []
    for numbers, out in outs:
        if isinstance(out, Say):
            if not out.archived:
                parts.append((_SAY, tuple(numbers), _audience(out, everybody), out.stanza))
        elif isinstance(out, Tell):
            if out.entrance:
                parts.append((_ENTRANCE, tuple(numbers), out.full, out.stream))
            else:
                parts.append((_TELL, tuple(numbers), out.full, tuple(out.stanzas)))
        else:
            assert isinstance(out, Send)
    packed: bytes = _pack((VERSION, parts))
    return packed


def _audience(out: Say, everybody: Collection[str]) -> tuple[Sequence[str] | None, Sequence[str]]:
    whom, but = out.audience, tuple(out.but)
    if whom is None:
        return None, but
    if len(whom) > _SPELLED and 2 * len(whom) > len(everybody):
        hears = frozenset(whom)
        return None, (*but, *[full for full in everybody if full not in hears])
    return tuple(whom), but


def unpack(said: bytes) -> list[Numbered]:
    """What `pack` packed; an entrance comes without its stanzas. Nothing for what cannot be read."""
    try:
        version, parts = msgpack.unpackb(said, use_list=False)
        if version != VERSION:
            return []
        return [_out(*part) for part in parts]
    except (ValueError, TypeError, msgpack.exceptions.UnpackException):
        return []


def _out(kind: int, numbers: Sequence[int], whom: Any, what: Any) -> Numbered:
    if kind == _SAY:
        audience, but = whom
        return numbers, Say(Stanza.unpack(what), audience, but=but)
    if kind == _TELL:
        return numbers, Tell(str(whom), tuple(Stanza.unpack(one) for one in what))
    return numbers, Tell(str(whom), (), True, what or b"")  # (a former version did not say which session)
