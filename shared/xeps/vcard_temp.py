"""XEP-0054: vcard-temp."""

from rookery.shared.xeps._xep import Target, Xep

NS = "vcard-temp"
XEP = Xep(
    54,
    "1.3.0",
    "complete",
    features={Target.DOMAIN: (NS,), Target.ACCOUNT: (NS,)},
    implemented_in="workers.account",
    note="Anybody may read a card; a missing card and a missing account answer alike (section 3.3).",
)
XEP.forward("account", NS, "vCard", Target.ACCOUNT)
