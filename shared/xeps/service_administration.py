"""XEP-0133: Service Administration."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final, NamedTuple

from rookery.shared.xeps import adhoc_commands, invitations
from rookery.shared.xeps._disco import NS_INFO
from rookery.shared.xeps._xep import Context, Xep
from rookery.shared.xeps.data_forms import NS as FORMS
from rookery.shared.xeps.data_forms import Field, form
from rookery.shared.xmpp import ns
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

#: The FORM_TYPE of all forms; the nodes of the commands begin with it.
ADMIN: Final = "http://jabber.org/protocol/admin"
XEP = Xep(
    133,
    "1.3.1",
    "partial",
    implemented_in="src.rookery.admin.adhoc",
    note="For those whom the domain names as its admins (`rookery domain set --admin`), and for the users of that domain alone. Black and"
    " white lists have servers, no users; restarting and shutting down are the operator's, as the processes serve other domains, too.",
)
#: What a list may be cut at (sections 4.18 to 4.22).
MAX_ITEMS: Final = ("25", "50", "75", "100", "150", "200", "none")


class Command(NamedTuple):
    """One command: its node behind `ADMIN#`, its name in discovery, what its form says and asks. Without fields it is done at once."""

    node: str
    name: str
    title: str = ""
    instructions: str = ""
    fields: Sequence[Field] = ()

    @property
    def full(self) -> str:
        """The whole name of the node."""
        return f"{ADMIN}#{self.node}"

    def form(self, **filled: Sequence[str]) -> Element:
        """The form to fill in; `filled` is what fields have already."""
        fields = [field._replace(values=filled.get(field.var, field.values)) for field in self.fields]
        return form("form", ADMIN, fields, self.title, self.instructions)


def _jid(label: str) -> Field:
    return Field("accountjid", (), "jid-single", label, True)


def _jids(label: str) -> Field:
    return Field("accountjids", (), "jid-multi", label, True)


def _text(var: str, label: str, *, required: bool = True) -> Field:
    return Field(var, (), "text-multi", label, required)


def _list(node: str, what: str) -> Command:
    options = [(value.capitalize(), value) for value in MAX_ITEMS]
    return Command(
        node,
        f"Get List of {what.capitalize()} Users",
        f"Requesting List of {what.capitalize()} Users",
        f"Fill out this form to request the {what} users of this service.",
        (Field("max_items", (), "list-single", "Maximum number of items to show", options=options),),
    )


#: What this server does, in the order of the sections 4.1 to 4.29.
COMMANDS: Final = (
    Command(
        "add-user",
        "Add a User",
        "Adding a User",
        "Fill out this form to add a user.",
        (
            _jid("The Jabber ID for the account to be added"),
            Field("password", (), "text-private", "The password for this account"),
            Field("password-verify", (), "text-private", "Retype password"),
            Field("email", (), "text-single", "Email address"),
            Field("given_name", (), "text-single", "Given name"),
            Field("surname", (), "text-single", "Family name"),
        ),
    ),
    Command(
        "delete-user",
        "Delete a User",
        "Deleting a User",
        "Fill out this form to delete a user.",
        (_jids("The Jabber ID(s) to delete"),),
    ),
    Command(
        "disable-user",
        "Disable a User",
        "Disabling a User",
        "Fill out this form to disable a user.",
        (_jids("The Jabber ID(s) to disable"),),
    ),
    Command(
        "reenable-user",
        "Re-Enable a User",
        "Re-Enable a User",
        "Fill out this form to re-enable a user.",
        (_jids("The Jabber ID(s) to re-enable"),),
    ),
    Command(
        "end-user-session",
        "End User Session",
        "Ending a User Session",
        "Fill out this form to end a user's session.",
        (_jids("The Jabber ID(s) for which to end sessions"),),
    ),
    Command(
        "change-user-password",
        "Change User Password",
        "Changing a User Password",
        "Fill out this form to change a user's password.",
        (
            _jid("The Jabber ID for this account"),
            Field("password", (), "text-private", "The password for this account", True),
        ),
    ),
    Command(
        "get-user-roster",
        "Get User Roster",
        "Getting a User's Roster",
        "Fill out this form to get a user's roster.",
        (_jids("The Jabber ID(s) for which to retrieve the roster"),),
    ),
    Command(
        "get-user-lastlogin",
        "Get User Last Login Time",
        "Getting a User's Last Login Time",
        "Fill out this form to get a user's last login time.",
        (_jids("The Jabber ID(s) for which to retrieve the last login time"),),
    ),
    Command(
        "user-stats",
        "Get User Statistics",
        "Get User Statistics",
        "Fill out this form to gather user statistics.",
        # Clients that know other servers fill in the second one: each is enough.
        (
            Field("accountjid", (), "jid-single", "The Jabber ID for statistics"),
            Field("accountjids", (), "jid-multi", "Or several of them"),
        ),
    ),
    Command(
        "edit-blacklist",
        "Edit Blacklist",
        "Editing the Blacklist",
        "Fill out this form to edit the list of entities with whom communications are disallowed: servers, *.example.org for all below it.",
        (Field("blacklistjids", (), "text-multi", "The blacklist"),),
    ),
    Command(
        "edit-whitelist",
        "Edit Whitelist",
        "Editing the Whitelist",
        "Fill out this form to edit the list of entities with whom communications are allowed: servers, *.example.org for all below it.",
        (Field("whitelistjids", (), "text-multi", "The whitelist"),),
    ),
    Command("get-registered-users-num", "Get Number of Registered Users"),
    Command("get-disabled-users-num", "Get Number of Disabled Users"),
    Command("get-online-users-num", "Get Number of Online Users"),
    Command("get-active-users-num", "Get Number of Active Users"),
    Command("get-idle-users-num", "Get Number of Idle Users"),
    _list("get-registered-users-list", "registered"),
    _list("get-disabled-users-list", "disabled"),
    _list("get-online-users-list", "online"),
    _list("get-active-users", "active"),
    _list("get-idle-users", "idle"),
    Command(
        "announce",
        "Send Announcement to Online Users",
        "Making an Announcement",
        "Fill out this form to make an announcement to all active users of this service.",
        (_text("announcement", "Announcement"),),
    ),
    Command(
        "set-motd",
        "Set Message of the Day",
        "Setting the Message of the Day",
        "Fill out this form to set the message of the day.",
        (_text("motd", "Message of the Day"),),
    ),
    Command(
        "edit-motd",
        "Edit Message of the Day",
        "Editing the Message of the Day",
        "Fill out this form to edit the message of the day.",
        (_text("motd", "Message of the Day"),),
    ),
    Command("delete-motd", "Delete Message of the Day"),
    Command(
        "set-welcome",
        "Set Welcome Message",
        "Setting Welcome Message",
        "Fill out this form to set the welcome message for this service.",
        (_text("welcome", "Welcome Message"),),
    ),
    Command("delete-welcome", "Delete Welcome Message"),
    Command(
        "edit-admin",
        "Edit Admin List",
        "Editing the Admin List",
        "Fill out this form to edit the list of entities who have administrative privileges.",
        (Field("adminjids", (), "jid-multi", "The admin list"),),
    ),
)
BY_NODE: Final = {command.full: command for command in COMMANDS}
#: What nobody may do by a message: it is the operator's (section 5, not-allowed). The old command for passwords is among them.
NOT_ALLOWED: Final = frozenset(f"{ADMIN}#{node}" for node in ("get-user-password", "restart", "shutdown"))
#: The nodes of service discovery that are about commands.
NODES: Final = frozenset({adhoc_commands.NS, *BY_NODE, *invitations.COMMANDS})


def items(iq: Stanza, namespace: str, node: str, context: Context) -> Stanza:
    """The commands of a domain for those who may use them; the others see none (XEP-0050 section 2.2)."""
    listed = _usable(iq, context) if node == adhoc_commands.NS else {}
    return iq.result(
        Element(
            namespace,
            "query",
            {"node": node},
            *(
                Element(namespace, "item", {"jid": context.address, "node": full, "name": name})
                for full, name in listed.items()
            ),
        )
    )


def _usable(iq: Stanza, context: Context) -> dict[str, str]:
    """Commands for whoever asks, by node, with their names."""
    options = context.options(invitations.Options)
    # (XEP-0401: invitations are made by the domain itself)
    at_domain = context.address == context.domain and not context.guests
    local = at_domain and iq.from_.partition("/")[0].rpartition("@")[2] == context.domain
    found = {
        node: name
        for node, name in invitations.COMMANDS.items()
        if local and invitations.may(options, node, admin=context.admin)
    }
    return {**{one.full: one.name for one in COMMANDS}, **found} if context.admin else found


def info(iq: Stanza, node: str, context: Context) -> Stanza:
    """What the list of commands is, or one command (XEP-0050 section 2.3). Raises StanzaError: forbidden."""
    name = None if node == adhoc_commands.NS else _usable(iq, context).get(node)
    if node != adhoc_commands.NS and name is None:
        raise StanzaError("forbidden")
    identity = {"category": "automation", "type": "command-list" if name is None else "command-node"}
    if name is not None:
        identity["name"] = name
    features = (adhoc_commands.NS,) if name is None else (adhoc_commands.NS, FORMS)
    return iq.result(
        Element(
            NS_INFO,
            "query",
            {"node": node},
            Element(NS_INFO, "identity", identity),
            *(Element(NS_INFO, "feature", {"var": feature}) for feature in features),
        )
    )


def message(domain: str, to: str, body: str, id: str, subject: str = "") -> Stanza:
    """What a domain tells a user."""
    parts = [Element(ns.CLIENT, "subject", None, subject)] if subject else []
    parts.append(Element(ns.CLIENT, "body", None, body))
    return Stanza.build("message", *parts, type="normal", from_=domain, to=to, id=id)


def digest(text: str) -> str:
    """What is remembered of a message of the day that a user was told."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]
