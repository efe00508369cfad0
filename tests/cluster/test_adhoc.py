"""Commands of administrators on a running cluster (XEP-0050, XEP-0133): each answered by whichever process holds the account."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any
from xml.etree.ElementTree import Element

import pytest
import trio
from tests.cluster.harness import Cluster
from tests.cluster.people import People, refused
from tests.stories.client import Client

from rookery.shared.xeps.invitations import INVITE
from rookery.shared.xeps.service_administration import ADMIN, COMMANDS
from rookery.shared.xmpp.jid import bare_of

pytestmark = pytest.mark.cluster
DOMAIN = "other.localhost"
C = "{http://jabber.org/protocol/commands}"
X = "{jabber:x:data}"
ITEMS = "<query xmlns='http://jabber.org/protocol/disco#items' node='http://jabber.org/protocol/commands'/>"


async def online(people: People, account: tuple[str, str]) -> Client:
    """A client of this domain that has sent presence and seen it."""
    one = people.client(domain=DOMAIN)
    await one.login(*account)
    await one.send("<presence/>")
    await one.receive()
    return one


class Admin:
    """Somebody who uses commands."""

    def __init__(self, client: Client, to: str = DOMAIN) -> None:
        self.client = client
        self.to = to
        self._number = 0

    @property
    def bare(self) -> str:
        return bare_of(self.client.jid)

    async def ask(self, payload: str, type: str = "set") -> Element:
        self._number += 1
        await self.client.send(f"<iq type='{type}' id='c{self._number}' to='{self.to}'>{payload}</iq>")
        while True:
            answer = await self.client.receive()
            if answer.get("id") == f"c{self._number}":
                return answer

    async def command(self, node: str, session: str = "", inner: str = "", action: str = "") -> Element:
        said = (f" sessionid='{session}'" if session else "") + (f" action='{action}'" if action else "")
        return await self.ask(
            f"<command xmlns='http://jabber.org/protocol/commands' node='{ADMIN}#{node}'{said}>{inner}</command>"
        )

    async def run(self, node: str, **fields: str | list[str]) -> tuple[dict[str, list[str]], list[str]]:
        """Do a command; the fields of its answer, and what its error notes say."""
        answer = await self.command(node)
        command = answer.find(f"{C}command")
        assert command is not None, answer
        if fields or command.get("status") == "executing":
            assert command.get("status") == "executing"
            answer = await self.command(node, command.get("sessionid") or "", filled(**fields), "complete")
            command = answer.find(f"{C}command")
            assert command is not None
        assert (answer.get("type"), command.get("status")) == ("result", "completed")
        told = {
            field.get("var") or "": [value.text or "" for value in field.findall(f"{X}value")]
            for field in command.iter(f"{X}field")
        }
        return told, [note.text or "" for note in command.findall(f"{C}note") if note.get("type") == "error"]


def filled(**fields: str | list[str]) -> str:
    """A form as a client submits it."""
    out = f"<field var='FORM_TYPE' type='hidden'><value>{ADMIN}</value></field>"
    for var, values in fields.items():
        lines = [values] if isinstance(values, str) else values
        out += f"<field var='{var.replace('password_', 'password-')}'>{''.join(f'<value>{one}</value>' for one in lines)}</field>"
    return f"<x xmlns='jabber:x:data' type='submit'>{out}</x>"


def condition(answer: Element) -> list[str]:
    """The conditions of an error."""
    error = answer.find("{jabber:client}error")
    assert error is not None
    return [child.tag.partition("}")[2] for child in error if not child.tag.endswith("}text")]


async def test_commands(cluster: Cluster, people: People) -> None:
    """One connected administrator does everything; whoever is none sees and may nothing."""
    boss, other = cluster.import_users((name, DOMAIN) for name in ("boss", "other"))
    cluster.cli("domain", "set", DOMAIN, "--admin", f"boss@{DOMAIN}")
    admin = Admin(await online(people, boss))
    stranger = Admin(await online(people, other))
    for step in (_discovered, _refused, _users, _numbers, _texts, _addressed, _lists, _admins):
        await step(admin, stranger, people)
    cluster.cli("domain", "set", DOMAIN, "--no-admins")
    log = cluster.log()
    assert "admin_command" in log
    assert "first-secret" not in log
    assert "second-secret" not in log


async def test_watch(cluster: Cluster, people: People) -> None:
    """What both edges see of an account; what is in the stanzas only with --bodies."""
    account = people.account()
    jid = f"{account[0]}@localhost"
    one, two = await people.bound(account, "a"), await people.bound(account, "b")
    shown: list[str] = []

    def watch(*options: str) -> None:
        shown.append(cluster.cli("watch", jid, "--seconds", "3", *options).stdout)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, watch)
        nursery.start_soon(trio.to_thread.run_sync, watch, "--bodies")
        while len(shown) < 2:
            await one.send(f"<message to='{jid}/b' type='chat' id='w1'><body>hush</body></message>")
            await two.receive()
            await trio.sleep(0.2)
    hidden, open_ = sorted(shown, key=lambda text: "hush" in text)
    assert "hush" not in hidden
    for text in (hidden, open_):
        assert f" a -> message type='chat' to='{jid}/b' id='w1'" in text
        assert f" b <- message type='chat' from='{jid}/a'" in text
    assert "<body>hush</body>" in open_
    assert "{jabber:client}body" in hidden
    log = cluster.log()
    assert '"command":"watch"' in log
    assert "hush" not in log


async def test_trace(cluster: Cluster, people: People) -> None:
    """The way of one message by both of its names, and nothing of what is in it."""
    accounts = people.account(), people.account()
    sender, recipient = (f"{name}@localhost" for name, _ in accounts)
    one, two = await people.online(accounts[0], "a"), await people.online(accounts[1], "b")
    await one.send(
        f"<message to='{recipient}/b' type='chat' id='t1'><body>hush</body><origin-id xmlns='urn:xmpp:sid:0' id='o1'/></message>"
    )
    message = await two.receive()
    stanza_id = message.find("{urn:xmpp:sid:0}stanza-id")
    assert stanza_id is not None

    def traced(*arguments: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(cluster.cli("trace", *arguments, "--json").stdout)
        return found

    by_archive = await trio.to_thread.run_sync(traced, stanza_id.get("id") or "")
    by_origin = await trio.to_thread.run_sync(traced, "o1", "--user", sender)
    for found in (by_archive, by_origin):
        assert (found["from"], found["to"], found["ids"]) == (f"{sender}/a", f"{recipient}/b", ["o1", "t1"])
        assert [(row["owner"], row["direction"], row["owed"]) for row in found["rows"]] == [
            (sender, "sent", False),
            (recipient, "received", False),
        ]
        assert {row["kind"] for row in found["holders"] if row["incarnation"]} == {"router", "offline"}
        assert {row["jid"] for row in found["sessions"]} == {f"{sender}/a", f"{recipient}/b"}
        assert "client_login" in {line["event"] for line in found["log"]}
        assert "hush" not in json.dumps(found)
    shown = await trio.to_thread.run_sync(lambda: cluster.cli("trace", "t1", "--user", recipient).stdout)
    assert f"received in the archive of {recipient}: {stanza_id.get('id')} (archived)" in shown
    missing = await trio.to_thread.run_sync(lambda: cluster.cli("trace", "nothing", check=False))
    assert missing.returncode == 1
    assert '"command":"trace"' in cluster.log()


Step = Callable[[Admin, Admin, People], Awaitable[None]]


async def _discovered(admin: Admin, stranger: Admin, people: People) -> None:
    for to in (DOMAIN, admin.bare):
        admin.to = to
        found = await admin.ask(ITEMS, "get")
        assert [one.get("node") for one in found.iter() if one.get("node", "").startswith(ADMIN)] == [
            one.full for one in COMMANDS
        ]
        assert (await admin.run("get-registered-users-num"))[0]["registeredusersnum"] != ["0"]
    admin.to = DOMAIN
    # What users may do (XEP-0401), and nothing else.
    assert [one.get("node") for one in (await stranger.ask(ITEMS, "get"))[0]] == [INVITE]
    stranger.to = stranger.bare
    assert not (await stranger.ask(ITEMS, "get"))[0]
    stranger.to = DOMAIN


async def _refused(admin: Admin, stranger: Admin, people: People) -> None:
    for one in COMMANDS:
        assert condition(await stranger.command(one.node)) == ["forbidden"]
    assert condition(await admin.command("shutdown")) == ["not-allowed"]
    assert condition(await admin.command("add-group")) == ["feature-not-implemented"]
    executing = (await admin.command("add-user")).find(f"{C}command")
    assert executing is not None
    session = executing.get("sessionid") or ""
    assert condition(await admin.command("delete-user", session, filled(accountjids="a@localhost"))) == [
        "bad-request",
        "bad-sessionid",
    ]
    assert condition(await admin.command("add-user", session, filled(password="x"))) == [
        "bad-request",
        "bad-payload",
    ]
    assert condition(await admin.command("add-user", session, action="prev")) == ["bad-request", "bad-action"]
    assert condition(await admin.command("add-user", action="jump")) == ["bad-request", "malformed-action"]
    cancelled = (await admin.command("add-user", session, action="cancel")).find(f"{C}command")
    assert cancelled is not None
    assert cancelled.get("status") == "canceled"
    admin.to = "localhost"
    assert condition(await admin.command("add-user")) == ["forbidden"]
    admin.to = DOMAIN
    for jid in ("x@localhost", "x@nowhere.example", "a@b@c", "localhost"):
        assert (await admin.run("add-user", accountjid=jid, password="p", password_verify="p"))[1]


async def _users(admin: Admin, stranger: Admin, people: People) -> None:
    new, secret = f"adhoc@{DOMAIN}", "first-secret"
    assert (await admin.run("add-user", accountjid=new, password=secret, password_verify="typo"))[1]
    assert not (await admin.run("add-user", accountjid=new, password=secret, password_verify=secret))[1]
    executing = (await admin.command("add-user")).find(f"{C}command")
    assert executing is not None
    again = filled(accountjid=new, password=secret, password_verify=secret)
    assert condition(await admin.command("add-user", executing.get("sessionid") or "", again)) == ["conflict"]
    assert not (await admin.run("change-user-password", accountjid=new, password="second-secret"))[1]
    user = await online(people, ("adhoc", "second-secret"))
    await user.send(
        "<iq type='set' id='r'><query xmlns='jabber:iq:roster'><item jid='c@x.example' name='C'/></query></iq>"
    )
    assert (await user.receive()).tag.endswith("iq")
    executing = (await admin.command("get-user-roster")).find(f"{C}command")
    assert executing is not None
    told = await admin.command("get-user-roster", executing.get("sessionid") or "", filled(accountjids=new))
    assert [one.get("jid") for one in told.iter("{jabber:iq:roster}item")] == ["c@x.example"]
    assert (await admin.run("user-stats", accountjid=new))[0]["rostersize"] == ["1"]
    assert (await admin.run("get-user-lastlogin", accountjids=new))[0]["lastlogin"][0].startswith("20")
    assert not (await admin.run("end-user-session", accountjids=user.jid))[1]
    assert await refused(user) == "policy-violation"
    user = await online(people, ("adhoc", "second-secret"))
    assert not (await admin.run("disable-user", accountjids=f"{new}/ignored"))[1]
    assert await refused(user)
    assert (await admin.run("get-disabled-users-list"))[0]["disableduserjids"] == [new]
    assert (await admin.run("get-disabled-users-num"))[0]["disabledusersnum"] == ["1"]
    assert not (await admin.run("reenable-user", accountjids=new))[1]
    assert (await admin.run("reenable-user", accountjids=[f"nobody@{DOMAIN}", new]))[1] == [
        f"there is no user nobody@{DOMAIN}"
    ]
    assert not (await admin.run("delete-user", accountjids=new))[1]
    assert (await admin.run("delete-user", accountjids=new))[1]


async def _numbers(admin: Admin, stranger: Admin, people: People) -> None:
    await stranger.client.send("<presence><show>away</show></presence>")
    await stranger.client.receive()
    both = {admin.bare, stranger.bare}
    assert (await admin.run("get-online-users-num"))[0]["onlineusersnum"] == ["2"]
    assert (await admin.run("get-active-users-num"))[0]["activeusersnum"] == ["1"]
    assert (await admin.run("get-idle-users-num"))[0]["idleusersnum"] == ["1"]
    assert set((await admin.run("get-online-users-list", max_items="25"))[0]["onlineuserjids"]) == both
    assert (await admin.run("get-active-users"))[0]["activeuserjids"] == [admin.bare]
    assert (await admin.run("get-idle-users"))[0]["activeuserjids"] == [stranger.bare]
    assert len((await admin.run("get-registered-users-list", max_items="1"))[0]["registereduserjids"]) == 1


async def _texts(admin: Admin, stranger: Admin, people: People) -> None:
    assert not (await admin.run("announce", announcement=["down at", "ten"]))[1]
    assert await _body(stranger.client) == "down at\nten"
    assert not (await admin.run("add-user", accountjid=f"late@{DOMAIN}", password="p", password_verify="p"))[
        1
    ]
    assert not (await admin.run("set-motd", motd=["one", "two"]))[1]
    assert await _body(stranger.client) == "one\ntwo"
    later = people.client(domain=DOMAIN)
    await later.login("late", "p")
    assert await _at_login(later) == "one\ntwo"
    await later.send(
        f"<presence type='unavailable'/><presence/><message to='{later.jid}' type='chat'><body>end</body></message>"
    )
    assert await _body(later) == "end"
    assert not (await admin.run("edit-motd", motd="three"))[1]
    assert await _at_login(stranger.client) == "three"
    assert not (await admin.run("delete-motd"))[1]
    form = (await admin.command("edit-motd")).find(f"{C}command/{X}x")
    assert form is not None
    assert form.find(f"{X}field[@var='motd']/{X}value") is None
    assert not (await admin.run("set-welcome", welcome="hello"))[1]
    assert not (await admin.run("add-user", accountjid=f"fresh@{DOMAIN}", password="p", password_verify="p"))[
        1
    ]
    fresh = people.client(domain=DOMAIN)
    await fresh.login("fresh", "p")
    await fresh.send("<presence/>")
    assert await _body(fresh) == "hello"
    assert not (await admin.run("delete-welcome"))[1]
    assert not (await admin.run("delete-user", accountjids=f"fresh@{DOMAIN}"))[1]


async def _addressed(admin: Admin, stranger: Admin, people: People) -> None:
    """`DOMAIN/announce/...`, for administrators alone; `all` reaches also those who are not there."""

    async def write(one: Admin, resource: str, body: str = "") -> None:
        inner = f"<body>{body}</body>" if body else ""
        await one.client.send(f"<message to='{DOMAIN}/announce/{resource}' id='{resource}'>{inner}</message>")

    async def error(one: Admin) -> list[str]:
        while (stanza := await one.client.receive()).get("type") != "error":
            pass
        return condition(stanza)

    for resource in ("all", "online", "motd", "nothing"):
        await write(stranger, resource, "spam")
        assert await error(stranger) == ["forbidden"]
    await write(admin, "nothing", "x")
    assert await error(admin) == ["item-not-found"]
    await write(admin, "all")
    assert await error(admin) == ["not-acceptable"]
    await write(admin, "online", "lunch")
    assert await _body(stranger.client) == "lunch"
    await write(admin, "motd", "today")
    assert await _body(stranger.client) == "today"
    await write(admin, "motd/delete")
    assert not (await admin.run("add-user", accountjid=f"away@{DOMAIN}", password="p", password_verify="p"))[
        1
    ]
    await write(admin, "all", "to all")
    assert await _body(stranger.client) == "to all"
    away = people.client(domain=DOMAIN)
    await away.login("away", "p")
    assert await _at_login(away) == "to all"
    assert not (await admin.run("delete-user", accountjids=f"away@{DOMAIN}"))[1]


async def _lists(admin: Admin, stranger: Admin, people: People) -> None:
    """Black and white lists are those of the domain, as the operator sees them (XEP-0133 sections 4.10 and 4.11)."""
    for node in ("restart", "edit-blacklist"):
        assert condition(await stranger.command(node)) == (
            ["not-allowed"] if node == "restart" else ["forbidden"]
        )
    assert not (await admin.run("edit-blacklist", blacklistjids=["marlowe.lit", "*.Denmark.lit"]))[1]
    assert not (await admin.run("edit-whitelist", whitelistjids=["verona.it"]))[1]
    assert (await admin.run("edit-blacklist", blacklistjids=["kit@marlowe.lit"]))[1]
    for node, listed in (("black", ["marlowe.lit", "*.denmark.lit"]), ("white", ["verona.it"])):
        form = await admin.command(f"edit-{node}list")
        field = next(one for one in form.iter(f"{X}field") if one.get("var") == f"{node}listjids")
        assert [value.text for value in field.findall(f"{X}value")] == listed
        assert not (await admin.run(f"edit-{node}list", **{f"{node}listjids": []}))[1]


async def _admins(admin: Admin, stranger: Admin, people: People) -> None:
    assert (await admin.run("edit-admin", adminjids=stranger.bare))[1]
    both = [admin.bare, stranger.bare]
    assert not (await admin.run("edit-admin", adminjids=both))[1]
    assert (await stranger.run("get-registered-users-num"))[0]["registeredusersnum"] != ["0"]
    assert not (await stranger.run("edit-admin", adminjids=stranger.bare))[1]
    assert condition(await admin.command("get-registered-users-num")) == ["forbidden"]


async def _at_login(client: Client) -> str:
    """What a session is told that becomes available; each process reads the domains anew a moment after they have changed."""
    for _ in range(8):
        await client.send("<presence type='unavailable'/><presence/>")
        try:
            return await _body(client, 1)
        except trio.TooSlowError:
            pass
    return ""


async def _body(client: Client, limit: float = 8) -> str:
    while True:
        stanza = await client.receive(limit)
        body = stanza.find("{jabber:client}body")
        if body is not None:
            return body.text or ""
