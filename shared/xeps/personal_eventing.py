"""XEP-0163: Personal Eventing Protocol."""

from rookery.shared.xeps._xep import Xep

XEP = Xep(
    163,
    "1.2.2",
    "partial",
    implemented_in="workers.pubsub, router.delivery.interests",
    note="Contacts at other servers are subscribed explicitly only.",
)
