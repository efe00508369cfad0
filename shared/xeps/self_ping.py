"""XEP-0410: MUC Self-Ping (Schrödinger's Chat)."""

from typing import Final

from rookery.shared.xeps._xep import Target, Xep

OPTIMIZED: Final = "http://jabber.org/protocol/muc#self-ping-optimization"
XEP = Xep(410, "1.1.0", "complete", features={Target.ROOM: (OPTIMIZED,)}, implemented_in="workers.muc")
