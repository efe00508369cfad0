"""XEP-0368: SRV records for XMPP over TLS."""

from rookery.shared.xeps._xep import Xep

#: The ALPN protocol name of client streams (section 3).
ALPN_CLIENT = "xmpp-client"
XEP = Xep(368, "1.1.0", "complete", implemented_in="edge", note="Client streams.")
