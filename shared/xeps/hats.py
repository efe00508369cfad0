"""XEP-0317: Hats."""

from typing import Final

from rookery.shared.xeps._xep import Target, Xep
from rookery.shared.xeps.adhoc_commands import NS as COMMANDS

NS: Final = "urn:xmpp:hats:0"
FORM: Final = "urn:xmpp:hats:commands"
#: A field of the information about a room: what tells its list of hats from another.
INFO_FIELD: Final = "hats#hash"
#: A URI of a hat.
URI_BYTES: Final = 1024
XEP = Xep(
    317,
    "0.3.1",
    "complete",
    features={Target.ROOM: (NS, COMMANDS)},
    implemented_in="workers.muc",
    note="made and given by admins of a room with its commands; forged ones are removed",
)
