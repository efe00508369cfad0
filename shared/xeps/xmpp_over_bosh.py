"""XEP-0206: XMPP Over BOSH."""

from rookery.shared.xeps._xep import Xep

XEP = Xep(
    206, "1.4", "complete", implemented_in="edge", note="Authentication by TLS certificates is not offered."
)
