"""XEP-0191: Blocking Command."""

from collections.abc import Container, Iterable
from typing import Annotated

from rookery.shared.options import Section, about
from rookery.shared.xeps._xep import Target, Xep
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.jid import Jid
from rookery.shared.xmpp.xml import Element

NS = "urn:xmpp:blocking"
NS_ERRORS = "urn:xmpp:blocking:errors"
#: The resources that asked for the block list, and so get its pushes (section 3.3).
MARK = "blocklist"


class Options(Section, frozen=True):
    """Block lists."""

    max_items: Annotated[
        int, about("Entries of an account's block list", "entries", ge=1, was="limits.blocklist_items")
    ] = 1000


XEP = Xep(
    191,
    "1.3",
    "complete",
    features={Target.DOMAIN: (NS,)},
    implemented_in="workers.account, router",
    options=Options,
)
XEP.forward("account", NS, "blocklist", Target.ACCOUNT, types=("get",), marks=MARK)
XEP.forward("account", NS, "block", Target.ACCOUNT, types=("set",))
XEP.forward("account", NS, "unblock", Target.ACCOUNT, types=("set",))


def items(name: str, jids: Iterable[str]) -> Element:
    """A `<blocklist/>`, `<block/>` or `<unblock/>` of these JIDs."""
    return Element(NS, name, None, *(Element(NS, "item", {"jid": jid}) for jid in jids))


def matches(blocked: Container[str], address: str) -> bool:
    """Whether a block list covers an address (section 4: full JID, bare JID, domain/resource, domain)."""
    jid = Jid.trusted(address)
    if jid.full in blocked or jid.bare in blocked or jid.domain in blocked:
        return True
    return jid.resource is not None and f"{jid.domain}/{jid.resource}" in blocked


def outbound_error() -> StanzaError:
    """What a user gets who sends to somebody that the user has blocked (section 3.3)."""
    return StanzaError("not-acceptable", type="cancel", app=(NS_ERRORS, "blocked"))
