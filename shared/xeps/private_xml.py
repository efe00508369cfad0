"""XEP-0049: Private XML Storage."""

from rookery.shared.xeps._xep import Target, Xep

NS = "jabber:iq:private"
XEP = Xep(
    49,
    "1.2",
    "complete",
    features={Target.DOMAIN: (NS,), Target.ACCOUNT: (NS,)},
    implemented_in="workers.account",
)
XEP.forward("account", NS, "query", Target.ACCOUNT)
