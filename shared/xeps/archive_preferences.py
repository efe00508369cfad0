"""XEP-0441: Message Archive Management Preferences."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Final, Literal, NamedTuple, cast

from rookery.shared.options import Section, about
from rookery.shared.xeps._xep import Target, Xep
from rookery.shared.xmpp.errors import JidError, StanzaError
from rookery.shared.xmpp.jid import Jid
from rookery.shared.xmpp.xml import Element

NS: Final = "urn:xmpp:mam:2"


Fallback = Literal["always", "never", "roster"]
Default = Literal["auto", "always", "never", "roster"]


class Options(Section, frozen=True):
    """What is archived for whom."""

    default: Annotated[
        Default,
        about(
            "What is archived of accounts that chose nothing; `auto`: everything in durable domains, nothing in relaxed ones"
        ),
    ] = "auto"
    addresses_max: Annotated[
        int, about("Addresses in the two lists of an account together", "addresses", ge=1)
    ] = 1000


XEP = Xep(441, "0.2.0", "complete", implemented_in="workers.offline, router", options=Options)
XEP.forward("offline", NS, "prefs", Target.ACCOUNT, own_only=True)

FALLBACKS: Final = ("always", "never", "roster")


class Preferences(NamedTuple):
    """What a user wants archived: the lists, and what happens to everybody else.

    `roster` has the bare JIDs of the contacts, and is needed only when the fallback is "roster".
    """

    fallback: Fallback
    always: Collection[str] = frozenset()
    never: Collection[str] = frozenset()
    roster: Collection[str] = frozenset()

    def wants(self, peer: str) -> bool:
        """Whether a message to or from `peer` is archived (section 2.3); an entry with a resource is more exact than one without."""
        bare = peer.partition("/")[0]
        for address in (peer, bare):
            if address in self.never:
                return False
            if address in self.always:
                return True
        return self.fallback == "always" or (self.fallback == "roster" and bare in self.roster)


def parse(prefs: Element, most: int) -> Preferences:
    """The preferences in a `<prefs/>` of a client, with at most so many addresses. Raises StanzaError."""
    fallback = prefs.get("default") or ""
    if fallback not in FALLBACKS:
        raise StanzaError("bad-request", "default is always, never or roster")
    always, never = _jids(prefs, "always"), _jids(prefs, "never")
    if len(always) + len(never) > most:
        raise StanzaError("resource-constraint", f"at most {most} addresses")
    return Preferences(cast("Fallback", fallback), always, never)


def _jids(prefs: Element, name: str) -> frozenset[str]:
    found = prefs.find(NS, name)
    if found is None:
        return frozenset()
    try:
        return frozenset(Jid.parse(jid.text.strip()).full for jid in found.elements(NS, "jid"))
    except JidError:
        raise StanzaError("jid-malformed") from None


def element(preferences: Preferences) -> Element:
    """The `<prefs/>` that tells them."""
    lists = [
        Element(NS, name, None, *(Element(NS, "jid", None, jid) for jid in sorted(jids)))
        for name, jids in (("always", preferences.always), ("never", preferences.never))
    ]
    return Element(NS, "prefs", {"default": preferences.fallback}, *lists)
