"""Users invite contacts and, where they may, new users (XEP-0401 sections 4.1 and 4.4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from rookery.admin import domains, invitations
from rookery.admin.adhoc.asked import bad_payload
from rookery.admin.desk import Desk
from rookery.admin.errors import Conflict, Invalid, NotFound
from rookery.shared.bus.kinds import ACCOUNTS
from rookery.shared.xeps.data_forms import Field, form
from rookery.shared.xeps.invitations import CREATE, INVITATION, INVITE, Options, may, when
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.jid import Jid
from rookery.shared.xmpp.xml import Element

_TRUE: Final = ("1", "true")


async def allowed(desk: Desk, sender: Jid, domain: str, node: str) -> None:
    """Whether somebody may use the command of a node. Raises StanzaError."""
    try:
        policy = await domains.find(desk, domain)
    except NotFound:
        raise StanzaError("item-not-found") from None
    options = desk.config.options(Options)
    guest = policy.auth.get("type") == "anonymous"
    if policy.kind != ACCOUNTS or sender.domain != domain or guest:
        raise StanzaError("forbidden")
    if not may(options, node, admin=sender.bare in policy.admins):
        raise StanzaError("forbidden")
    if node == CREATE and (policy.joining == "nobody" or policy.auth):
        raise StanzaError("not-allowed", "nobody makes accounts in this domain")


def asks(node: str) -> Element | None:
    """The form of a command, None for one that is done at once."""
    if node == INVITE:
        return None
    fields = (
        Field("username", (), "text-single", "Username; empty to let the new user choose"),
        Field("roster-subscription", ("0",), "boolean", "Be contacts at once"),
    )
    return form("form", INVITATION, fields, "Invite a new user")


async def made(desk: Desk, sender: Jid, node: str, said: Mapping[str, Sequence[str]]) -> Element:
    """Make it, and tell its addresses. Raises StanzaError."""
    username = ("".join(said.get("username", ())[:1])).strip()
    contacts = node == INVITE or "".join(said.get("roster-subscription", ())[:1]) in _TRUE
    most = desk.config.options(Options).open_per_user
    wanted = invitations.Wanted(sender.domain, username, sender.bare if contacts else "", most=most)
    try:
        found = await invitations.create(desk, wanted)
    except Conflict as error:
        if "open invitations" in str(error):
            raise StanzaError("resource-constraint", str(error), type="wait") from None
        raise StanzaError("conflict", str(error)) from None
    except (Invalid, NotFound) as error:
        raise bad_payload(str(error)) from None
    fields = [
        Field("uri", (found.uri,), "text-single"),
        Field("expire", (when(found.invitation.expires.timestamp()),), "text-single"),
    ]
    if found.page:
        fields.insert(1, Field("landing-url", (found.page,), "text-single"))
    return form("result", INVITATION, fields)
