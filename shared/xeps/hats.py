"""XEP-0317: Hats."""

from typing import Final

from rookery.shared.xeps._xep import Xep

NS: Final = "urn:xmpp:hats:0"
XEP = Xep(
    317,
    "0.3.1",
    "partial",
    implemented_in="workers.muc",
    note="hats of an affiliate's entry are shown with its presence, forged ones removed; no commands to make them",
)
