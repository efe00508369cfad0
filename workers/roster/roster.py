"""Roster items as clients send and see them (RFC 6121 section 2). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from rookery.shared.xmpp import ns
from rookery.shared.xmpp.errors import JidError, StanzaError
from rookery.shared.xmpp.jid import Jid
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element
from rookery.workers.roster.subscription import NONE, State

#: Octets of a name and of a group, and groups of one item; the RFC leaves the limits to the server (section 2.3.3).
MAX_NAME: Final = 1024
MAX_GROUPS: Final = 64
#: With more changes than this the whole roster is the shorter answer.
MAX_DELTA: Final = 100


class Item(NamedTuple):
    """A roster item as it is stored; `listed` is False for a removed one and for a bare request of the contact."""

    contact: str
    name: str = ""
    groups: Sequence[str] = ()
    state: State = NONE
    listed: bool = True
    ver: int = 0
    #: Labels of the groups that account and contact share, and what a version says of all that the account sees through groups.
    shared: Sequence[str] = ()
    mark: str = ""

    @property
    def shown(self) -> bool:
        """Whether clients see it."""
        return self.listed or bool(self.shared)

    @property
    def subscription(self) -> str:
        """What clients see of the state: who shares a group needs no subscription; "remove" when they see nothing."""
        if self.shared:
            return "both"
        return self.state.subscription if self.listed else "remove"

    def element(self) -> Element:
        """The `<item/>` of a roster result or push (section 2.1.2); removed when it is not shown."""
        attrs = {"jid": self.contact, "subscription": self.subscription}
        if not self.shown:
            return Element(ns.ROSTER, "item", attrs)
        if self.name:
            attrs["name"] = self.name
        if self.state.out and not self.shared:
            attrs["ask"] = "subscribe"
        if self.state.approved:
            attrs["approved"] = "true"
        return Element(
            ns.ROSTER, "item", attrs, *(Element(ns.ROSTER, "group", None, group) for group in self.all_groups)
        )

    @property
    def all_groups(self) -> Sequence[str]:
        """Those that the user has made, and those that the account shares with the contact."""
        return tuple(dict.fromkeys((*self.groups, *self.shared))) if self.shared else self.groups


class Edit(NamedTuple):
    """A valid roster set: what the client may say of an item; `remove` makes the rest meaningless."""

    contact: str
    name: str
    groups: Sequence[str]
    remove: bool


def parse_set(query: Element, account: str) -> Edit:
    """Read a roster set (sections 2.3 to 2.5). Raises StanzaError.

    `ask`, `approved` and every `subscription` but "remove" are the server's own and are ignored (section 2.1.2).
    """
    items = list(query.elements(ns.ROSTER, "item"))
    if len(items) != 1 or len(list(query.elements())) != 1:
        raise StanzaError("bad-request", "a roster set has exactly one item")
    item = items[0]
    try:
        contact = Jid.parse(item.get("jid") or "").bare
    except JidError as exc:
        raise StanzaError("jid-malformed", "the item has no valid JID") from exc
    if contact == account:
        raise StanzaError("not-allowed", "an account is not its own contact")
    if item.get("subscription") == "remove":
        return Edit(contact, "", (), True)
    name = item.get("name") or ""
    if len(name.encode()) > MAX_NAME:
        raise StanzaError("not-acceptable", "the name is too long")
    groups = [group.text for group in item.elements(ns.ROSTER, "group")]
    if len(groups) > MAX_GROUPS or any(not group or len(group.encode()) > MAX_NAME for group in groups):
        raise StanzaError("not-acceptable", "a group is empty or too long, or there are too many")
    if len(set(groups)) != len(groups):
        raise StanzaError("bad-request", "a group is named twice")
    return Edit(contact, name, tuple(groups), False)


def version(account_id: int, number: int) -> str:
    """A roster version (section 2.6): it names the account's row too, so a JID that is registered anew starts afresh."""
    return f"{account_id}-{number}"


def marked(ver: str, mark: str) -> str:
    """A version that also tells what the account sees through groups; the same version when it sees nothing through any."""
    return f"{ver}-{mark}" if mark else ver


def split_version(text: str) -> tuple[str, str]:
    """A version and its mark, as `marked` has joined them."""
    owner, dash, rest = text.partition("-")
    number, _, mark = rest.partition("-")
    return owner + dash + number, mark


def parse_version(text: str, account_id: int) -> int | None:
    """The number in a version that a client sent back; None when it is not one of this account's."""
    owner, dash, number = text.partition("-")
    digits = (
        owner.isascii() and owner.isdigit() and number.isascii() and number.isdigit() and len(number) < 19
    )
    return int(number) if dash and digits and owner == str(account_id) else None


def result(iq: Stanza, items: Iterable[Item], ver: str) -> Stanza:
    """The whole roster (section 2.1.4) with its version, whether or not the client asked for one (section 2.6.1)."""
    return iq.result(
        Element(
            ns.ROSTER,
            "query",
            {"ver": ver},
            *(item.element() for item in items if item.shown),
        )
    )


def push(item: Item, account_id: int, to: str = "") -> Stanza:
    """A roster push (section 2.1.6): one changed item with the version that it led to."""
    ver = marked(version(account_id, item.ver), item.mark)
    query = Element(ns.ROSTER, "query", {"ver": ver}, item.element())
    return Stanza.build("iq", query, type="set", to=to, id=f"push-{ver}")
