"""XEP-0050: Ad-Hoc Commands."""

from __future__ import annotations

from typing import Final

from rookery.shared.xeps._xep import Target, Xep
from rookery.shared.xmpp.xml import Element

NS: Final = "http://jabber.org/protocol/commands"
#: What may be done with a command (section 3.5); "execute" is what no action means.
ACTIONS: Final = ("execute", "next", "prev", "complete", "cancel")
XEP = Xep(
    50,
    "1.3.1",
    "complete",
    features={Target.DOMAIN: (NS,), Target.ACCOUNT: (NS,)},
    implemented_in="workers.account, src.rookery.admin.adhoc",
    note="Commands for administrators (XEP-0133), at the domain and at the administrator's own address; the others see none.",
)
XEP.forward("account", NS, "command", Target.DOMAIN, types=("set",))
XEP.forward("account", NS, "command", Target.ACCOUNT, types=("set",), own_only=True)


def answered(node: str, session: str, status: str, *payload: Element) -> Element:
    """What a command answers; a form that is to be filled in has one stage, so it may only be completed (section 3.4)."""
    out = Element(NS, "command", {"node": node, "sessionid": session, "status": status}, *payload)
    if status == "executing":
        out.children.insert(0, Element(NS, "actions", {"execute": "complete"}, Element(NS, "complete")))
    return out


def note(text: str, type: str = "info") -> Element:
    """A line for the person (section 4.3). A command that failed has one of the type "error" (section 3.7)."""
    return Element(NS, "note", {"type": type}, text)
