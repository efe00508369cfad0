"""XEP-0077: In-Band Registration."""

from rookery.shared.xeps._xep import Target, Xep
from rookery.shared.xmpp.xml import Element

NS = "jabber:iq:register"
#: The stream feature's namespace (section 8).
NS_FEATURE = "http://jabber.org/features/iq-register"
INSTRUCTIONS = "Choose a username and a password; the email address is optional."
XEP = Xep(
    77,
    "2.4",
    "complete",
    features={Target.DOMAIN: (NS,)},
    implemented_in="workers.account, edge",
    note="Closed by default; limited per network.",
)
XEP.forward("account", NS, "query", Target.DOMAIN, Target.ACCOUNT)


def stream_feature() -> Element:
    """What an edge advertises before authentication when the domain is open for registration."""
    return Element(NS_FEATURE, "register")


def blank_form() -> Element:
    """The fields that an entity without an account fills in (section 3.1)."""
    return Element(
        NS,
        "query",
        None,
        Element(NS, "instructions", None, INSTRUCTIONS),
        Element(NS, "username"),
        Element(NS, "password"),
        Element(NS, "email"),
    )


def filled_form(username: str, email: str) -> Element:
    """What a registered entity gets: that it is registered, and as whom; never the password (section 3.1)."""
    return Element(
        NS,
        "query",
        None,
        Element(NS, "registered"),
        Element(NS, "username", None, username),
        Element(NS, "password"),
        Element(NS, "email", None, email or None),
    )
