"""XEP-0425: Moderated Message Retraction."""

from typing import Final

from rookery.shared.xeps._xep import Target, Xep

NS: Final = "urn:xmpp:message-moderate:1"
XEP = Xep(425, "0.3.0", "complete", features={Target.ROOM: (NS,)}, implemented_in="workers.muc")
