"""XEP-0249: Direct MUC Invitations."""

from rookery.shared.xeps._xep import Xep

XEP = Xep(249, "1.2", "complete", note="messages between accounts, which pass")
