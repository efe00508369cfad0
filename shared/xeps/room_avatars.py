"""XEP-0486: MUC Avatars."""

from typing import Final

from rookery.shared.xeps._xep import Target, Xep
from rookery.shared.xeps.vcard_temp import NS

INFO_FIELD: Final = "muc#roominfo_avatarhash"
XEP = Xep(
    486,
    "0.1.0",
    "complete",
    features={Target.SERVICE: (NS,), Target.ROOM: (NS,)},
    implemented_in="workers.muc",
    note="the vCard of a room, set by its owners; its hash is in the information about the room",
)
