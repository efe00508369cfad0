"""XEP-0379: Pre-Authenticated Roster Subscription."""

from rookery.shared.xeps._xep import Xep
from rookery.shared.xmpp.stanza import Stanza

NS = "urn:xmpp:pars:0"
XEP = Xep(
    379,
    "0.3.3",
    "complete",
    implemented_in="workers.roster",
    note="The server takes the tokens of its own invitations (`rookery invite create --inviter`); tokens that clients make themselves reach the other client.",
)


def token(stanza: Stanza) -> str:
    """The token that a subscription request shows (section 3.4), "" for none."""
    element = stanza.find(NS, "preauth") if stanza.has(NS, "preauth") else None
    return (element.get("token") or "") if element is not None else ""
