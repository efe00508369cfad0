"""Commands under the names and with the arguments that ejabberd's API has, for scripts that know those.

What they answer is what such scripts expect: 0 for done, a number, or a list. An unknown user or a name that is taken is an error here as
there. Names that are not in the table are 404.
"""

from __future__ import annotations

from typing import Any, Final

from rookery.admin import announcing, domains, names, rosters, sessions, users
from rookery.admin.api import ejabberd_counts, ejabberd_rooms
from rookery.admin.api.ejabberd_command import Command, Nothing, OfHost, Text
from rookery.admin.api.reading import convert, document
from rookery.admin.desk import Desk
from rookery.admin.errors import NotFound
from rookery.admin.verb import Taken
from rookery.admin.verbs.sessions import kick
from rookery.shared.observe.exchange import Request
from rookery.shared.xmpp.jid import Jid


class OfUser(Taken, frozen=True, kw_only=True):
    """A user."""

    user: Text
    host: Text


class WithPassword(OfUser, frozen=True, kw_only=True):
    """A user and a password."""

    password: Text


class WithNewPassword(OfUser, frozen=True, kw_only=True):
    """A user and another password."""

    newpass: Text


class Banned(OfUser, frozen=True, kw_only=True):
    """A user and why."""

    reason: Text = ""


class OfSession(OfUser, frozen=True, kw_only=True):
    """A session and why it is ended."""

    resource: Text
    reason: Text = ""


class OfContact(Taken, frozen=True, kw_only=True):
    """A contact in a roster; `group` is what older scripts write for `groups`."""

    localuser: Text
    localhost: Text
    user: Text
    host: Text
    nick: Text = ""
    group: Text = ""
    groups: tuple[Text, ...] = ()
    subs: Text = "both"


class OfRosterItem(Taken, frozen=True, kw_only=True):
    """A contact in a roster, to be taken away."""

    localuser: Text
    localhost: Text
    user: Text
    host: Text


class Message(Taken, frozen=True, kw_only=True, rename={"from_": "from"}):
    """A message; groupchat is refused."""

    type: Text = "normal"
    from_: Text
    to: Text
    subject: Text = ""
    body: Text


def read(command: Command, request: Request) -> Taken:
    """The arguments of a command, from the body or the query. Raises Problem."""
    given = document(request) if request.body else dict(request.query)
    return convert(given, command.takes, strict=bool(request.body))


def target(given: Taken) -> str:
    """Whom a command is about, for the log."""
    fields = ("room", "service", "user", "host", "localuser", "localhost", "to")
    return " ".join(value for name in fields if isinstance(value := getattr(given, name, None), str))


def _jid(user: str, host: str) -> Jid:
    return names.account(f"{user}@{host}")


async def _register(desk: Desk, taken: WithPassword) -> str:
    jid = _jid(taken.user, taken.host)
    await users.create(desk, jid, taken.password)
    return f"User {jid} successfully registered"


async def _unregister(desk: Desk, taken: OfUser) -> str:
    await users.remove(desk, [_jid(taken.user, taken.host)])
    return ""


async def _change_password(desk: Desk, taken: WithNewPassword) -> int:
    await users.set_password(desk, _jid(taken.user, taken.host), taken.newpass)
    return 0


async def _check_account(desk: Desk, taken: OfUser) -> int:
    try:
        await users.find(desk, _jid(taken.user, taken.host))
    except NotFound:
        return 1
    return 0


async def _check_password(desk: Desk, taken: WithPassword) -> int:
    return 0 if await users.checked(desk, _jid(taken.user, taken.host), taken.password) else 1


async def _ban(desk: Desk, taken: Banned) -> int:
    await users.set_disabled(desk, _jid(taken.user, taken.host), True)
    return 0


async def _unban(desk: Desk, taken: OfUser) -> int:
    await users.set_disabled(desk, _jid(taken.user, taken.host), False)
    return 0


async def _registered_users(desk: Desk, taken: OfHost) -> list[str]:
    found: list[str] = []
    after = ""
    while True:
        page = await users.listed(desk, names.domain(taken.host), after, 1000)
        found += [row.localpart for row in page.rows]
        if not (after := page.next):
            return found


async def _connected_users(desk: Desk, taken: Nothing) -> list[str]:
    return [row.jid async for row in sessions.every(desk.cluster, "")]


async def _connected_users_vhost(desk: Desk, taken: OfHost) -> list[str]:
    return [row.jid async for row in sessions.every(desk.cluster, names.domain(taken.host))]


async def _connected_users_number(desk: Desk, taken: Nothing) -> int:
    return await sessions.counted(desk.cluster, "")


async def _vhosts(desk: Desk, taken: Nothing) -> list[str]:
    return [policy.name for policy in await domains.listed(desk)]


async def _num_resources(desk: Desk, taken: OfUser) -> int:
    return (await sessions.of_account(desk.cluster, str(_jid(taken.user, taken.host)))).total


async def _user_resources(desk: Desk, taken: OfUser) -> list[str]:
    page = await sessions.of_account(desk.cluster, str(_jid(taken.user, taken.host)))
    return [row.jid.partition("/")[2] for row in page.rows]


async def _kick_user(desk: Desk, taken: OfUser) -> int:
    return await kick(desk, _jid(taken.user, taken.host), "")


async def _kick_session(desk: Desk, taken: OfSession) -> int:
    jid = names.user(f"{_jid(taken.user, taken.host)}/{taken.resource}")
    await kick(desk, jid, taken.reason)
    return 0


async def _get_roster(desk: Desk, taken: OfUser) -> list[dict[str, Any]]:
    return [
        {
            "jid": item.contact,
            "nick": item.name,
            "subscription": item.state.subscription,
            "pending": "out" if item.state.out else "none",
            "groups": list(item.groups),
        }
        for item in await rosters.read(desk, _jid(taken.user, taken.host))
    ]


async def _add_rosteritem(desk: Desk, taken: OfContact) -> int:
    groups = list(taken.groups) or [group.strip() for group in taken.group.split(";") if group.strip()]
    owner, contact = _jid(taken.localuser, taken.localhost), _jid(taken.user, taken.host)
    await rosters.put(desk, owner, contact, taken.nick, groups, taken.subs)
    return 0


async def _delete_rosteritem(desk: Desk, taken: OfRosterItem) -> int:
    owner, contact = _jid(taken.localuser, taken.localhost), _jid(taken.user, taken.host)
    await rosters.put(desk, owner, contact, subscription="remove")
    return 0


async def _send_message(desk: Desk, taken: Message) -> int:
    from_, to = names.address(taken.from_), names.address(taken.to)
    await announcing.send(desk, from_, to, taken.type, taken.body, taken.subject)
    return 0


#: Every command, by its name.
COMMANDS: Final[dict[str, Command]] = {
    "register": Command("users", WithPassword, _register),
    "unregister": Command("users", OfUser, _unregister),
    "change_password": Command("users", WithNewPassword, _change_password),
    "check_account": Command("users", OfUser, _check_account, True),
    "check_password": Command("users", WithPassword, _check_password),
    "ban_account": Command("users", Banned, _ban),
    "unban_account": Command("users", OfUser, _unban),
    "registered_users": Command("users", OfHost, _registered_users, True),
    "registered_vhosts": Command("domains", Nothing, _vhosts, True),
    "connected_users": Command("sessions", Nothing, _connected_users, True),
    "connected_users_vhost": Command("sessions", OfHost, _connected_users_vhost, True),
    "connected_users_number": Command("sessions", Nothing, _connected_users_number, True),
    "num_resources": Command("sessions", OfUser, _num_resources, True),
    "user_resources": Command("sessions", OfUser, _user_resources, True),
    "kick_user": Command("sessions", OfUser, _kick_user),
    "kick_session": Command("sessions", OfSession, _kick_session),
    "get_roster": Command("users", OfUser, _get_roster, True),
    "add_rosteritem": Command("users", OfContact, _add_rosteritem),
    "delete_rosteritem": Command("users", OfRosterItem, _delete_rosteritem),
    "send_message": Command("announce", Message, _send_message),
    **ejabberd_rooms.COMMANDS,
    **ejabberd_counts.COMMANDS,
}
