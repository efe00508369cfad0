"""XEP-0421: Occupant identifiers for semi-anonymous MUCs."""

from typing import Final

from rookery.shared.xeps._xep import Target, Xep

NS: Final = "urn:xmpp:occupant-id:0"
XEP = Xep(
    421,
    "1.0.1",
    "complete",
    features={Target.SERVICE: (NS,), Target.ROOM: (NS,)},
    implemented_in="workers.muc",
    note="an HMAC of room and bare JID with a secret of the service; forged ones are removed",
)
