"""Rosters: read one, put a contact there, take one away. The clients of the account see it at once."""

from __future__ import annotations

from collections.abc import Sequence

from rookery.admin.desk import Desk
from rookery.admin.errors import Conflict, Invalid, NotFound
from rookery.shared.bus.kinds import Kind
from rookery.shared.bus.messages import Done, EditRoster
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.jid import Jid
from rookery.workers.roster import store
from rookery.workers.roster.roster import MAX_GROUPS, MAX_NAME, Item

#: What a contact that an operator puts into a roster may be; "" leaves it to the users.
SUBSCRIPTIONS = ("", "none", "to", "from", "both", "remove")


async def read(desk: Desk, jid: Jid) -> Sequence[Item]:
    """The items by contact. Raises NotFound."""
    found = await desk.run(lambda conn: store.get(conn, str(jid), None))
    if found is None:
        raise NotFound(f"there is no user {jid}")
    return [item for item in found.items if item.shown]


async def put(
    desk: Desk, jid: Jid, contact: Jid, name: str = "", groups: Sequence[str] = (), subscription: str = ""
) -> None:
    """Put a contact into a roster or change it; "remove" takes it away. Raises Invalid, NotFound, Conflict, Unreachable.

    A subscription is written as it is said, on this side alone: what `both` means for the contact is another call.
    """
    if contact.bare == str(jid):
        raise Invalid("an account is not its own contact")
    if subscription not in SUBSCRIPTIONS:
        raise Invalid(
            f"there is no subscription {subscription!r}: choose from {', '.join(SUBSCRIPTIONS[1:])}"
        )
    if len(name.encode()) > MAX_NAME or len(groups) > MAX_GROUPS or len(set(groups)) != len(groups):
        raise Invalid(
            f"a name has at most {MAX_NAME} octets, a contact at most {MAX_GROUPS} groups, each once"
        )
    if any(not group or len(group.encode()) > MAX_NAME for group in groups):
        raise Invalid(f"a group has 1 to {MAX_NAME} octets")
    request = EditRoster(str(jid), contact.bare, name, tuple(groups), subscription)
    try:
        twice = subscription != "remove"  # who removes it again is told that there is none
        await desk.cluster.ask(str(jid), request, Done, Kind.ROSTER, twice=twice)
    except StanzaError as error:
        if error.condition == "item-not-found":
            what = f"{contact.bare} in the roster of {jid}" if subscription == "remove" else f"user {jid}"
            raise NotFound(f"there is no {what}") from None
        raise Conflict(error.text or error.condition) from None
    await desk.tell(
        [
            desk.audit(
                "roster del" if subscription == "remove" else "roster put", str(jid), contact=contact.bare
            )
        ]
    )
