"""What a room has said, packed for the holder after this one: see the table `room_saying`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgpack

from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.muc.outs import Out, Say, Send, Tell

#: Format of a packed saying; one of another version is not said again.
VERSION: Final = 1
_SAY, _TELL, _ENTRANCE = 0, 1, 2

Numbered = tuple[Sequence[int], Out]


def pack(outs: Sequence[Numbered]) -> bytes:
    """All that is said to occupants; what somebody is told who comes in is made anew, and what is sent elsewhere is kept elsewhere."""
    parts: list[Any] = []
    for numbers, out in outs:
        if isinstance(out, Say):
            if not out.archived:
                whom = None if out.audience is None else tuple(out.audience)
                parts.append((_SAY, tuple(numbers), (whom, tuple(out.but)), out.stanza))
        elif isinstance(out, Tell):
            if out.entrance:
                parts.append((_ENTRANCE, tuple(numbers), out.full, None))
            else:
                parts.append((_TELL, tuple(numbers), out.full, tuple(out.stanzas)))
        else:
            assert isinstance(out, Send)
    return bytes(msgpack.packb((VERSION, parts)))


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
    return numbers, Tell(str(whom), (), entrance=True)
