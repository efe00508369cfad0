"""XEP-0334: Message Processing Hints."""

from typing import Final

from rookery.shared.xeps._xep import Target, Xep

NS: Final = "urn:xmpp:hints"
XEP = Xep(
    334,
    "1.0.0",
    "complete",
    features={Target.DOMAIN: (NS,), Target.ACCOUNT: (NS,)},
    implemented_in="shared.store, router",
    note="what may be stored is decided by `shared.store.rows`; hints in errors are ignored",
)
