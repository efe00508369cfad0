"""XEP-0445: Pre-Authenticated In-Band Registration."""

from rookery.shared.xeps._xep import Xep
from rookery.shared.xmpp.xml import Element

#: The stream feature (section 3), and the element that shows a token (section 4).
NS_FEATURE = "urn:xmpp:ibr-token:0"
NS = "urn:xmpp:pars:0"
XEP = Xep(445, "0.2.0", "complete", implemented_in="edge, workers.account")


def stream_feature() -> Element:
    """Offered before authentication wherever secrets may be said."""
    return Element(NS_FEATURE, "register")
