"""XEP-0424: Message Retraction."""

from typing import Final

from rookery.shared.xeps._xep import Target, Xep

NS: Final = "urn:xmpp:message-retract:1"
TOMBSTONE: Final = NS + "#tombstone"
XEP = Xep(
    424,
    "0.4.2",
    "partial",
    features={Target.ROOM: (NS, TOMBSTONE)},
    implemented_in="workers.muc",
    note="rooms put a tombstone into their archive when its author retracts a message; archives of accounts keep both",
)
