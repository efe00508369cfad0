"""XEP-0402: PEP Native Bookmarks."""

from rookery.shared.xeps._xep import Target, Xep

NODE = "urn:xmpp:bookmarks:1"
#: Namespace and node of XEP-0048.
LEGACY = "storage:bookmarks"
XEP = Xep(
    402,
    "1.2.0",
    "complete",
    features={Target.ACCOUNT: (f"{NODE}#compat", f"{NODE}#compat-pep")},
    implemented_in="workers.pubsub",
    note="Old clients read and write the same bookmarks in private XML and at the node storage:bookmarks.",
)
