"""The commands on a running cluster: what they do, what they say, and how they end."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from tests.cluster.harness import Cluster
from tests.stories.client import Client, LoginError, Mode

from rookery.shared.config import Database
from rookery.shared.db.bridge import open_database

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(edges=1, routers=1, workers=1) as running:
        yield running


def sql(cluster: Cluster, query: str) -> list[tuple[object, ...]]:
    url = json.loads((cluster.data / "cluster.json").read_text())["database_url"]

    async def main() -> list[tuple[object, ...]]:
        async with open_database(Database(url=url)) as db:
            return [tuple(row) for row in await db.run(0, lambda conn: conn.fetch(query))]

    return trio.run(main)


def refused(cluster: Cluster, *arguments: str, text: str | None = None) -> tuple[int, str]:
    """Exit code and the one line that an expected mistake gives."""
    done = cluster.cli(*arguments, text=text, check=False)
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    return done.returncode, done.stderr.strip()


def test_a_user_from_the_first_to_the_last(cluster: Cluster) -> None:
    assert cluster.cli("user", "add", "Anna@localhost", text="secret\n").stdout == "added anna@localhost\n"
    code, line = refused(cluster, "user", "add", "anna@localhost", "--password", "x")
    assert (code, line) == (
        1,
        "rookery: anna@localhost exists already: `rookery user passwd anna@localhost` changes the password",
    )
    assert (
        cluster.cli("user", "passwd", "anna@localhost", "--password", "y").stdout
        == "changed the password of anna@localhost\n"
    )
    assert "anna@localhost\n" in cluster.cli("user", "list").stdout
    rows = [json.loads(line) for line in cluster.cli("user", "list", "--json").stdout.splitlines()]
    assert "anna@localhost" in [row["jid"] for row in rows]
    assert cluster.cli("user", "del", "anna@localhost").stdout == "removed anna@localhost\n"
    assert refused(cluster, "user", "del", "anna@localhost") == (
        1,
        "rookery: there is no user anna@localhost",
    )
    assert refused(cluster, "user", "passwd", "anna@localhost", "--password", "x")[0] == 1


def test_a_generated_password_is_printed_once(cluster: Cluster) -> None:
    out = cluster.cli("user", "add", "gen@localhost", "--generate").stdout
    assert out.startswith("password: ")
    assert len(out.splitlines()[0]) > 25


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["add", "x@nowhere.example", "--password", "x"], "`rookery domain add nowhere.example` first"),
        (["add", "x@localhost"], "no password was given"),
    ],
)
def test_wrong_input_has_its_remedy(cluster: Cluster, arguments: list[str], part: str) -> None:
    code, line = refused(cluster, "user", *arguments, text="")
    assert code == 1
    assert part in line


@pytest.mark.parametrize("text", ["localhost", "a@localhost/r", "a b@localhost", "@localhost", ""])
def test_what_is_not_a_user_is_refused(cluster: Cluster, text: str) -> None:
    done = cluster.cli("user", "add", text, "--password", "x", check=False)
    assert done.returncode == 2
    assert "write it as alice@localhost" in done.stderr


def test_import_passwords_and_keys(cluster: Cluster, tmp_path: Path) -> None:
    salt = b"0123456789abcdef"
    salted = hashlib.pbkdf2_hmac("sha1", b"pencil", salt, 4096)
    stored = hashlib.sha1(hmac.digest(salted, b"Client Key", "sha1")).digest()
    server = hmac.digest(salted, b"Server Key", "sha1")
    keys = ",".join(base64.b64encode(value).decode() for value in (salt, stored, server))
    file = tmp_path / "users.csv"
    file.write_text(
        "jid,password,email,mechanism,iterations,salt,stored_key,server_key\n"
        "imp1@localhost,pw1,one@example.org,,,,,\n"
        f"imp2@localhost,,,SCRAM-SHA-1,4096,{keys}\n"
    )
    assert cluster.cli("user", "import", str(file)).stdout.startswith("imported 2 users in ")
    keys_of = "SELECT localpart, array_agg(mechanism ORDER BY mechanism) FROM account JOIN credential ON id = account_id"
    found = sql(cluster, f"{keys_of} WHERE localpart LIKE 'imp_' GROUP BY localpart ORDER BY localpart")
    assert found == [("imp1", ["SCRAM-SHA-1", "SCRAM-SHA-256"]), ("imp2", ["SCRAM-SHA-1"])]
    again = cluster.cli("user", "import", str(file)).stdout
    assert "2 were there already and stay as they are" in again
    rows = {
        row["jid"]: row for row in map(json.loads, cluster.cli("user", "list", "--json").stdout.splitlines())
    }
    assert rows["imp1@localhost"]["email"] == "one@example.org"


def test_an_import_with_a_mistake_writes_nothing(cluster: Cluster) -> None:
    done = cluster.cli(
        "user", "import", "-", text="jid,password\ngood@localhost,x\nbad jid@localhost,x\n", check=False
    )
    assert done.returncode == 1
    assert "line 3: " in done.stderr
    assert "good@localhost" not in cluster.cli("user", "list").stdout
    done = cluster.cli("user", "import", "-", text="jid,password\na@elsewhere.example,x\n", check=False)
    assert done.returncode == 1
    assert "`rookery domain add elsewhere.example` first" in done.stderr


def test_domains(cluster: Cluster) -> None:
    said = cluster.cli("domain", "add", "Example.ORG", "--registration", "open").stdout.splitlines()
    assert "added example.org" in said
    assert "added conference.example.org for chat rooms" in said
    assert any("upload.example.org, pubsub.example.org, proxy.example.org" in line for line in said)
    assert "example.org  registration open\n" in cluster.cli("domain", "list").stdout
    assert "hosted already" in cluster.cli("domain", "add", "example.org").stdout
    listed = [json.loads(line) for line in cluster.cli("domain", "list", "--json").stdout.splitlines()]
    (example,) = [one for one in listed if one["name"] == "example.org"]
    assert (example["kind"], example["registration"]) == ("accounts", True)
    cluster.cli("user", "add", "u@example.org", "--password", "x")
    code, line = refused(cluster, "domain", "del", "example.org")
    assert code == 1
    assert "1 user" in line
    cluster.cli("user", "del", "u@example.org")
    assert cluster.cli("domain", "del", "example.org").stdout.startswith("removed example.org")
    assert refused(cluster, "domain", "del", "example.org")[0] == 1


def test_a_domain_is_set_while_it_serves(cluster: Cluster) -> None:
    cluster.cli("domain", "add", "set.example")
    out = cluster.cli(
        "domain", "set", "set.example", "--durability", "relaxed", "--contact", "abuse=mailto:a@set.example"
    ).stdout
    line = "set.example  registration closed  durability relaxed  abuse-addresses mailto:a@set.example\n"
    assert out == line
    assert line in cluster.cli("domain", "list").stdout
    assert json.loads(cluster.cli("domain", "show", "set.example", "--json").stdout) == {
        "name": "set.example",
        "kind": "accounts",
        "registration": False,
        "admins": [],
        "durability": "relaxed",
        "archive_days": None,
        "contacts": {"abuse-addresses": ["mailto:a@set.example"]},
    }
    assert (
        cluster.cli(
            "domain",
            "set",
            "set.example",
            "--durability",
            "default",
            "--contact",
            "abuse=",
            "--registration",
            "open",
        ).stdout
        == "set.example  registration open\n"
    )
    assert refused(cluster, "domain", "set", "nope.example", "--registration", "open") == (
        1,
        "rookery: nope.example is not hosted here: `rookery domain add nope.example` first",
    )
    assert cluster.cli("domain", "set", "set.example", check=False).returncode == 2
    assert cluster.cli("domain", "set", "set.example", "--contact", "abuse=x", check=False).returncode == 2
    cluster.cli("domain", "del", "set.example")


def test_ten_thousand_users_go_within_a_minute(cluster: Cluster) -> None:
    key = base64.b64encode(b"x" * 32).decode()
    rows = "".join(f"u{n}@big.example,SCRAM-SHA-256,4096,{key},{key},{key}\n" for n in range(10_100))
    cluster.cli("domain", "add", "big.example")
    cluster.cli("user", "import", "-", text="jid,mechanism,iterations,salt,stored_key,server_key\n" + rows)
    began = time.monotonic()
    done = cluster.cli("user", "del", "--from", "-", text="".join(f"u{n}@big.example\n" for n in range(100)))
    assert done.stdout == "removed 100 users\n"
    done = cluster.cli("domain", "del", "big.example", "--with-users")
    assert done.stdout == "removed big.example and 10000 users\n"
    assert time.monotonic() - began < 60
    assert refused(cluster, "domain", "del", "big.example", "--with-users")[0] == 1


def test_wrong_domains_and_mail_addresses_are_refused(cluster: Cluster) -> None:
    assert refused(cluster, "user", "list", "--domain", "nope") == (
        1,
        "rookery: nope is not hosted here: see `rookery domain list`",
    )
    for email in ("nobody", "a b@c", "a@b..c"):
        done = cluster.cli("user", "add", "m@localhost", "--password", "x", "--email", email, check=False)
        assert done.returncode == 2
        assert "a mail address" in done.stderr
    done = cluster.cli(
        "user", "import", "--dry-run", "-", text="jid,password\na@elsewhere.example,x\n", check=False
    )
    assert done.returncode == 1
    assert "`rookery domain add elsewhere.example` first" in done.stderr
    assert cluster.cli("user", "import", "--dry-run", "-", text="jid,password\na@localhost,x\n").stdout == ""


def test_status_tells_processes_and_what_they_hold(cluster: Cluster) -> None:
    status = json.loads(cluster.cli("status", "--json").stdout)
    assert status["nats"]["ok"]
    assert status["postgres"]["ok"]
    assert {kind: count["held"] for kind, count in status["partitions"].items()} == dict.fromkeys(
        [
            "account",
            "component",
            "muc",
            "offline",
            "presence",
            "proxy",
            "pubsub",
            "roster",
            "router",
            "s2s",
            "upload",
        ],
        256,
    )
    assert set(status["rooms"]) == {"total", "occupied", "occupants"}
    processes = {process["name"]: process for process in status["processes"]}
    assert sorted(processes) == ["edge-1", "router-1", "worker-1"]
    assert processes["router-1"]["partitions"] == {"router": 256}
    assert processes["edge-1"]["pid"] == cluster.pids("edge")[0]
    text = cluster.cli("status").stdout
    assert "NOT REACHED" not in text
    secret = (
        json.loads((cluster.data / "cluster.json").read_text())["nats_url"].split("@")[0].rpartition("/")[2]
    )
    assert secret not in text + json.dumps(status)


def test_migrate_and_doctor(cluster: Cluster) -> None:
    assert cluster.cli("migrate").stdout.startswith("schema version 0")
    assert "FAIL" not in cluster.cli("doctor").stdout


async def test_a_disabled_user_is_out_until_enabled(cluster: Cluster) -> None:
    cli = trio.to_thread.run_sync
    await cli(lambda: cluster.cli("user", "add", "dis@localhost", "--password", "one"))
    async with trio.open_nursery() as nursery:
        client = Client(cluster.endpoint(0), "localhost")
        await client.login("dis", "one")
        nursery.start_soon(client.run)
        done = await cli(cluster.cli, "user", "disable", "dis@localhost")
        assert done.stdout == "disabled dis@localhost\n"
        await client.wait_end(5)
        nursery.cancel_scope.cancel()
    with pytest.raises(LoginError):
        await Client(cluster.endpoint(0), "localhost").login("dis", "one")
    assert "dis@localhost  (disabled)\n" in (await cli(cluster.cli, "user", "list")).stdout
    assert (await cli(cluster.cli, "user", "enable", "dis@localhost")).stdout == "enabled dis@localhost\n"
    async with trio.open_nursery() as nursery:
        client = Client(cluster.endpoint(0), "localhost")
        await client.login("dis", "one")
        nursery.start_soon(client.run)
        # Who is there already stays.
        await cli(cluster.cli, "user", "enable", "dis@localhost")
        with pytest.raises(trio.TooSlowError):
            await client.wait_end(1)
        nursery.cancel_scope.cancel()
    for command in ("disable", "enable"):
        assert (await cli(lambda: cluster.cli("user", command, "no@localhost", check=False))).returncode == 1  # noqa: B023


@pytest.mark.parametrize("mode", ["starttls", "tls", "websocket"])
async def test_a_new_password_and_a_removal_end_sessions(cluster: Cluster, mode: Mode) -> None:
    jid = f"live-{mode}@localhost"
    await trio.to_thread.run_sync(lambda: cluster.cli("user", "add", jid, "--password", "one"))
    for command, password in ((("passwd", jid, "--password", "two"), "one"), (("del", jid), "two")):
        async with trio.open_nursery() as nursery:
            client = Client(cluster.endpoint(0, mode), "localhost")
            await client.login(f"live-{mode}", password)
            nursery.start_soon(client.run)
            await trio.to_thread.run_sync(cluster.cli, "user", *command)
            await client.wait_end(5)
            nursery.cancel_scope.cancel()
    client = Client(cluster.endpoint(0, mode), "localhost")
    with pytest.raises(LoginError):
        await client.login(f"live-{mode}", "two")


async def test_sessions_are_listed_counted_and_ended(cluster: Cluster) -> None:
    (account,) = cluster.add_users(1)
    bare = f"{account[0]}@localhost"
    client = Client(cluster.endpoint(0), "localhost")
    try:
        await client.login(*account)
        await client.send("<presence><show>away</show><priority>3</priority></presence>")
        await client.receive()
        found = json.loads((await cli(cluster, "session", "list", bare, "--json")).stdout)
        (row,) = found["sessions"]
        assert (row["jid"], row["state"], row["priority"]) == (client.jid, "away", 3)
        assert row["edge"].startswith("edge")
        assert client.jid in (await cli(cluster, "session", "list", "localhost")).stdout
        assert int((await cli(cluster, "session", "count")).stdout) >= 1
        assert int((await cli(cluster, "session", "count", "nowhere.example")).stdout) == 0
        said = await cli(cluster, "session", "kick", client.jid, "--reason", "maintenance")
        assert said.stdout == f"ended 1 session of {client.jid}\n"
        await client.wait_end(5)
    finally:
        await client.drop()
    done = await trio.to_thread.run_sync(lambda: cluster.cli("session", "kick", bare, check=False))
    assert (done.returncode, done.stderr) == (1, f"rookery: {bare} has no session\n")


async def cli(cluster: Cluster, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command, while clients of this test go on."""
    return await trio.to_thread.run_sync(cluster.cli, *arguments)


def told(cluster: Cluster, jid: str) -> list[tuple[str, str]]:
    """Lines of the log about an account: the event, and what is told of it."""
    found = []
    for text in cluster.log().splitlines():
        line = json.loads(text) if text.startswith("{") else {}
        if jid in (line.get("account"), line.get("target")):
            found.append((line["event"], line.get("command") or line.get("reason") or line.get("resource")))
    return found


async def test_the_log_tells_who_came_and_went_and_who_changed_what(cluster: Cluster) -> None:
    cli, jid = trio.to_thread.run_sync, "logged@localhost"
    await cli(lambda: cluster.cli("user", "add", jid, "--password", "open sesame"))
    async with trio.open_nursery() as nursery:
        client = Client(cluster.endpoint(0), "localhost")
        await client.login("logged", "open sesame", "phone")
        nursery.start_soon(client.run)
        await cli(cluster.cli, "user", "disable", jid)
        await client.wait_end(5)
        nursery.cancel_scope.cancel()
    with pytest.raises(LoginError):
        await Client(cluster.endpoint(0), "localhost").login("logged", "open sesame")
    await cli(cluster.cli, "domain", "set", "localhost", "--durability", "default")
    expected = [
        ("operator_command", "user add"),
        ("client_login", "phone"),
        ("operator_command", "user disable"),
        ("client_end", "not-authorized"),
        ("client_login_failed", "not-authorized"),
    ]
    with trio.fail_after(10):
        while not set(expected) <= set(told(cluster, jid)) or not told(cluster, "localhost"):  # noqa: ASYNC110
            await trio.sleep(0.1)
    assert told(cluster, "localhost")[-1] == ("operator_command", "domain set")
    assert "open sesame" not in cluster.log()


async def test_an_invitation_from_the_command_to_the_contact(cluster: Cluster) -> None:
    """XEP-0401, 0445: registration is closed; who has the token makes an account, and the inviter's clients see the new contact."""
    run = trio.to_thread.run_sync
    ((user, password),) = await run(cluster.add_users, 1)
    inviter = f"{user}@localhost"
    done = await run(lambda: cluster.cli("invite", "create", "localhost", "--inviter", inviter, "--json"))
    made = json.loads(done.stdout)
    token = made["page"].rpartition("=")[2]
    assert made["uri"] == f"xmpp:{inviter}?roster;preauth={token};ibr=y"

    end = cluster.endpoint(0, "websocket")
    page = await fetch(end.port, f"/invite?t={token}", "de")
    assert page.startswith("HTTP/1.1 200")
    assert f"{inviter} lädt Sie ein" in page
    assert (await fetch(end.port, f"/invite?t={token}x", "en")).startswith("HTTP/1.1 404")

    host = Client(cluster.endpoint(0), "localhost")
    await host.login(user, password)
    await host.request("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>")
    guest = Client(cluster.endpoint(0), "localhost")
    await guest.connect()
    for number, shown in enumerate(("x" * 20, token)):
        answer = await guest.request(
            f"<iq type='set' id='p{number}'><preauth xmlns='urn:xmpp:pars:0' token='{shown}'/></iq>"
        )
        assert answer.get("type") == ("result" if shown == token else "error")
    form = "<query xmlns='jabber:iq:register'><username>guest</username><password>pw</password></query>"
    answer = await guest.request(f"<iq type='set' id='reg'>{form}</iq>")
    assert answer.get("type") == "result"
    push = await host.receive()
    item = next(push.iter("{jabber:iq:roster}item"))
    assert (item.get("jid"), item.get("subscription")) == ("guest@localhost", "both")
    await guest.authenticate("guest", "pw")
    await guest.bind()
    block = (
        "<block xmlns='urn:xmpp:blocking'><item jid='spam@evil.example'>"
        "<report xmlns='urn:xmpp:reporting:1' reason='urn:xmpp:reporting:spam'/></item></block>"
    )
    assert (await guest.request(f"<iq type='set' id='b'>{block}</iq>")).get("type") == "result"
    listed = await run(lambda: cluster.cli("report", "list", "evil.example").stdout)
    assert "spam@evil.example  spam  by guest@localhost" in listed
    assert made["invitation"]["id"] in await run(lambda: cluster.cli("invite", "list").stdout)


async def fetch(port: int, path: str, language: str) -> str:
    """GET without TLS: of a page, that is allowed."""
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    head = (
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept-Language: {language}\r\nConnection: close\r\n\r\n"
    )
    await stream.send_all(head.encode())
    got = b""
    with trio.fail_after(10):
        while data := await stream.receive_some(65536):
            got += data
    return got.decode()
