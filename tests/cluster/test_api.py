"""The administration API on a running cluster: tokens, verbs, what is refused, and the line that tells who did what."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from tests.cluster.harness import Cluster

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(edges=1, routers=1, workers=1) as running:
        yield running


class Caller:
    """A program with a token."""

    def __init__(self, cluster: Cluster, token: str = "") -> None:
        self._port = cluster.ready()["admin_port"]
        self._token = token

    def __call__(
        self, method: str, path: str, body: object = None, raw: bytes | None = None
    ) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        headers = {"Content-Type": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        sent = raw if raw is not None else None if body is None else json.dumps(body).encode()
        connection.request(method, f"/api{path}", sent, headers)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        kind = answer.headers.get("Content-Type", "")
        assert answer.status < 400 or kind == "application/problem+json", (answer.status, text)
        return answer.status, json.loads(text) if text else None


@pytest.fixture(scope="module")
def api(cluster: Cluster) -> Caller:
    return Caller(cluster, cluster.cli("token", "create", "root", "--scope", "all").stdout.strip())


def test_nothing_without_a_token_but_health(cluster: Cluster) -> None:
    nobody = Caller(cluster)
    for path in ("/v1/users?domain=localhost", "/openapi.json", "/v1/nothing", "/register"):
        assert nobody("GET", path)[0] == 401
    assert Caller(cluster, "rookery_" + "x" * 43)("GET", "/v1/domains")[0] == 401


def test_a_token_from_the_first_call_to_the_last(cluster: Cluster, api: Caller) -> None:
    status, made = api("POST", "/v1/tokens", {"name": "shop", "scopes": ["users"], "expires": "30d"})
    assert status == 201
    shop = Caller(cluster, made["secret"])
    assert shop("PUT", "/v1/users/tok@localhost", {"password": "pw"})[0] == 201
    assert shop("GET", "/v1/tokens")[0] == 403
    assert shop("GET", "/v1/cluster/partitions")[0] == 403
    assert "shop" in cluster.cli("token", "list").stdout
    assert cluster.cli("token", "revoke", "shop").stdout == "revoked shop\n"
    assert shop("GET", "/v1/users/tok@localhost")[0] == 401


def test_groups(cluster: Cluster, api: Caller) -> None:
    """A shared group by the API, seen by the command line, and in a roster."""
    for name in ("gail", "gus"):
        assert api("PUT", f"/v1/users/{name}@localhost", {"password": "pw"})[0] == 201
    assert api("PUT", "/v1/groups/staff", {"label": "Staff"})[0] == 201
    joined = {"members": ["gail@localhost", "gus@localhost"]}
    assert api("POST", "/v1/groups/staff/members", joined) == (200, {"items": joined["members"]})
    assert cluster.cli("group", "show", "staff").stdout.split() == joined["members"]
    assert cluster.cli("group", "list").stdout == 'staff  "Staff"  2 members, a list\n'
    (contact,) = api("GET", "/v1/users/gail@localhost/roster")[1]["items"]
    assert (contact["jid"], contact["subscription"], contact["groups"]) == (
        "gus@localhost",
        "both",
        ["Staff"],
    )
    assert cluster.cli("group", "join", "staff", "nobody@localhost", check=False).returncode == 1
    assert api("DELETE", "/v1/groups/staff/members/gus@localhost") == (204, None)
    assert api("GET", "/v1/users/gail@localhost/roster")[1]["items"] == []
    assert cluster.cli("group", "del", "staff").stdout == "removed the group staff\n"
    assert api("GET", "/v1/groups/staff/members")[0] == 404


def test_users(api: Caller) -> None:
    assert api("POST", "/v1/users", {"jid": "Ann@localhost", "password": "pw"})[0] == 201
    assert api("POST", "/v1/users", {"jid": "ann@localhost", "password": "pw"})[0] == 409
    assert (
        api("PUT", "/v1/users/ann@localhost", {"email": "ann@example.org"})[1]["email"] == "ann@example.org"
    )
    assert api("PUT", "/v1/users/ann@localhost/disabled", {"disabled": True})[1]["disabled"] is True
    assert api("PUT", "/v1/users/ann@localhost/password", {"password": "other"}) == (204, None)
    assert "ann@localhost" in [one["jid"] for one in api("GET", "/v1/users?domain=localhost")[1]["items"]]
    status, done = api(
        "POST",
        "/v1/bulk/users",
        {
            "create": [
                {"jid": "b1@localhost", "password": "p"},
                {"jid": "b@nowhere.example", "password": "p"},
            ],
            "erase": ["ann@localhost"],
        },
    )
    assert (status, done["created"], done["erased"]) == (200, ["b1@localhost"], ["ann@localhost"])
    assert [one["code"] for one in done["refused"]] == ["not-found"]
    assert api("DELETE", "/v1/users/b1@localhost") == (204, None)
    assert api("DELETE", "/v1/users/b1@localhost")[0] == 404


def test_rosters(api: Caller) -> None:
    api("PUT", "/v1/users/ros@localhost", {"password": "pw"})
    path = "/v1/users/ros@localhost/roster"
    wanted = {"name": "Bob", "groups": ["work"], "subscription": "both"}
    assert api("PUT", f"{path}/bob@localhost", wanted) == (204, None)
    assert api("PUT", f"{path}/bob@localhost", wanted) == (204, None)
    expected = {
        "jid": "bob@localhost",
        "name": "Bob",
        "groups": ["work"],
        "subscription": "both",
        "ask": False,
    }
    assert api("GET", path)[1]["items"] == [expected]
    assert api("PUT", f"{path}/ros@localhost", {})[0] == 400
    assert api("PUT", "/v1/users/nobody@localhost/roster/bob@localhost", {})[0] == 404
    assert api("DELETE", f"{path}/bob@localhost") == (204, None)
    assert api("DELETE", f"{path}/bob@localhost")[0] == 404


def test_domains(api: Caller) -> None:
    status, made = api("PUT", "/v1/domains/New.Example", {"registration": True, "admins": ["a@new.example"]})
    assert status == 201, made
    assert (status, made["name"], made["admins"]) == (201, "new.example", ["a@new.example"])
    status, changed = api("PUT", "/v1/domains/new.example", {"durability": "relaxed"})
    assert (status, changed["registration"], changed["durability"]) == (200, True, "relaxed")
    status, rooms = api("PUT", "/v1/domains/conference.new.example", {"room_creation": "admins"})
    assert (status, rooms["kind"], rooms["room_creation"]) == (200, "rooms", "admins")
    assert api("PUT", "/v1/domains/new.example", {"room_creation": "local"})[0] == 400
    api("PUT", "/v1/users/a@new.example", {"password": "pw"})
    assert api("DELETE", "/v1/domains/new.example")[0] == 409
    api("DELETE", "/v1/users/a@new.example")
    assert api("DELETE", "/v1/domains/new.example") == (204, None)
    assert "conference.new.example" not in [one["name"] for one in api("GET", "/v1/domains")[1]["items"]]


def test_what_the_cluster_is(cluster: Cluster, api: Caller) -> None:
    status, found = api("GET", "/v1/cluster/processes")
    assert (status, found["missing"]) == (200, [])
    assert {"edge", "router", "account"} <= {kind for one in found["items"] for kind in one["kinds"]}
    held = api("GET", "/v1/cluster/partitions")[1]["kinds"]
    assert held["account"]["held"] == held["account"]["total"] == 256
    assert api("GET", "/v1/statistics")[1]["sessions"] == 0
    assert api("POST", "/v1/announcements", {"domain": "localhost", "body": "hi"})[1] == {"sessions": 0}
    assert api("POST", "/v1/cluster/processes/nothing/drain", {})[0] == 404
    router = next(one for one in found["items"] if "router" in one["kinds"])["incarnation"]
    path = f"/v1/cluster/processes/{router}/drain"
    assert api("GET", path) == (200, {"draining": False, "connections": 0, "rate": 0})
    assert api("POST", path, {"rate": -1})[0] == 400
    assert api("POST", path, {"rate": 100}) == (204, None)
    cluster.until(
        lambda: router not in [one["incarnation"] for one in api("GET", "/v1/cluster/processes")[1]["items"]],
        "to have drained the router",
        40,
    )


def test_rooms_and_other_servers(cluster: Cluster, api: Caller) -> None:
    room = "garden@conference.localhost"
    api("PUT", "/v1/users/owner@localhost", {"password": "pw"})
    status, made = api("POST", "/v1/rooms", {"room": room, "owner": "owner@localhost", "name": "<b>"})
    assert (status, made["room"]["name"], made["affiliations"]) == (
        201, "<b>", [{"jid": "owner@localhost", "affiliation": "owner"}],
    )  # fmt: skip
    assert api("POST", "/v1/rooms", {"room": room, "owner": "owner@localhost"})[0] == 409
    assert api("POST", "/v1/rooms", {"room": "x@localhost", "owner": "owner@localhost"})[0] == 404
    assert room in [one["jid"] for one in api("GET", "/v1/rooms?service=conference.localhost")[1]["items"]]
    path = f"/v1/rooms/{room}/affiliations"
    assert api("PUT", f"{path}/bob@x.example", {"affiliation": "admin"}) == (204, None)
    assert {"jid": "bob@x.example", "affiliation": "admin"} in api("GET", path)[1]["items"]
    assert api("DELETE", f"/v1/rooms/{room}") == (204, None)
    cluster.until(lambda: api("GET", f"/v1/rooms/{room}")[0] == 404, "to have destroyed the room", 10)
    of = {"room": "old", "service": "conference.localhost"}
    assert api("POST", "/create_room", {**of, "host": "localhost"}) == (200, 0)
    member = {**of, "user": "bob", "host": "x.example"}
    assert api("POST", "/set_room_affiliation", {**member, "affiliation": "member"}) == (200, 0)
    assert api("POST", "/get_room_affiliation", member) == (200, "member")
    assert "old@conference.localhost" in api("POST", "/muc_online_rooms", {"service": "global"})[1]
    assert api("POST", "/get_room_occupants", of) == (200, [])
    assert api("POST", "/destroy_room", of) == (200, 0)
    assert api("GET", "/v1/s2s") == (200, {"items": []})
    assert api("GET", "/v1/s2s/nowhere.example")[0] == 404
    assert api("POST", "/v1/s2s/nowhere.example/retry") == (204, None)
    assert api("DELETE", "/v1/s2s/nowhere.example/queue") == (200, {"messages": 0})
    assert api("POST", "/stats", {"name": "registeredusers"})[1] >= 1
    assert api("POST", "/get_last", {"user": "owner", "host": "localhost"})[1]["status"] == "NOT FOUND"


class Browser:
    """Keeps a cookie, follows nothing, and sends what a browser sends."""

    def __init__(self, cluster: Cluster) -> None:
        self._port = cluster.ready()["admin_port"]
        self.cookie = ""

    def __call__(
        self, path: str, form: dict[str, str] | None = None, **headers: str
    ) -> tuple[int, http.client.HTTPMessage, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        sent = {"Cookie": self.cookie, **{name.replace("_", "-"): value for name, value in headers.items()}}
        body = None
        if form is not None:
            sent["Content-Type"] = "application/x-www-form-urlencoded"
            body = urlencode(form)
        connection.request("GET" if form is None else "POST", path, body, sent)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        if cookie := answer.headers.get("Set-Cookie"):
            self.cookie = cookie.partition(";")[0]
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"] or answer.status == 404
        return answer.status, answer.headers, text

    def seal(self, path: str) -> str:
        """What the forms of a page carry."""
        found = re.search(r'name="seal" value="(\w+)"', self(path)[2])
        assert found is not None
        return found[1]


def test_pages(cluster: Cluster, api: Caller) -> None:
    evil = "<script>alert(1)</script>"
    api("PUT", "/v1/users/page@localhost", {"password": "pw"})
    room = {"room": "evil@conference.localhost", "owner": "page@localhost", "name": evil}
    assert api("POST", "/v1/rooms", room)[0] == 201
    browser = Browser(cluster)
    for path in ("/admin/", "/admin/users", "/admin/users/page@localhost", "/admin/log", "/admin/none"):
        status, headers, text = browser(path)
        assert (status, headers["Location"], text) == (303, "/admin/login", "")
    assert browser("/admin/users/page@localhost/erase", {"sure": "yes"})[0] == 401
    assert browser("/admin/login", {"token": "rookery_" + "x" * 43})[0] == 401
    secret = api("POST", "/v1/tokens", {"name": "eyes", "scopes": ["read"]})[1]["secret"]
    status, headers, _ = browser("/admin/login", {"token": secret})
    assert (status, headers["Location"]) == (303, "/admin/")
    assert "HttpOnly" in headers["Set-Cookie"]
    assert secret not in headers["Set-Cookie"]
    for path in ("", "users", "users/page@localhost", "sessions", "domains", "domains/localhost", "rooms",
                 "rooms/evil@conference.localhost", "s2s?all=1", "waiting?about=spam.example", "log?level=debug&text=admin_call"):  # fmt: skip
        status, _, text = browser(f"/admin/{path}")
        assert status == 200, (path, text)
        assert evil not in text
    assert "admin_call" in text
    seal = browser.seal("/admin/users")
    assert browser("/admin/users/page@localhost/disabled", {"seal": seal, "disabled": "1"})[0] == 403
    root = Browser(cluster)
    root(
        "/admin/login",
        {"token": api("POST", "/v1/tokens", {"name": "hands", "scopes": ["all"]})[1]["secret"]},
    )
    mine, disable = root.seal("/admin/users"), {"disabled": "1"}
    change = "/admin/users/page@localhost/disabled"
    assert root(change, disable)[0] == 403
    assert root(change, {**disable, "seal": seal})[0] == 403
    assert root(change, {**disable, "seal": mine}, Sec_Fetch_Site="cross-site")[0] == 403
    assert root(change, {**disable, "seal": mine}, Origin="https://evil.example")[0] == 403
    assert root(change, {**disable, "seal": mine})[0] == 303
    assert api("GET", "/v1/users/page@localhost")[1]["disabled"] is True
    for gone in (
        "waiting/nobody@localhost/approve",
        "waiting/nobody@localhost/reject",
        "reports/7/remove",
        "reports/x/remove",
    ):
        assert root(f"/admin/{gone}", {"seal": mine})[0] == 404
    assert root("/admin/domains/localhost", {"seal": mine, "motd": "a\x00b"})[0] == 400
    assert root("/admin/users/page@localhost/erase", {"seal": mine, "sure": "yes"})[0] == 303
    assert api("DELETE", "/v1/tokens/hands") == (204, None)
    assert root("/admin/")[0] == 303
    for text in (secret, mine, seal, root.cookie.partition("=")[2], browser.cookie.partition("=")[2]):
        assert text not in cluster.log()


def test_commands_of_ejabberd(api: Caller) -> None:
    of = {"user": "old", "host": "localhost"}
    assert api("POST", "/register", {**of, "password": "pw"})[0] == 200
    assert api("POST", "/register", {**of, "password": "pw"})[0] == 409
    assert api("POST", "/check_account", of) == (200, 0)
    assert api("POST", "/check_password", {**of, "password": "pw"}) == (200, 0)
    assert api("POST", "/check_password", {**of, "password": "wrong"}) == (200, 1)
    assert api("POST", "/connected_users_number", {}) == (200, 0)
    contact = {
        "localuser": "old",
        "localhost": "localhost",
        "user": "bob",
        "host": "localhost",
        "nick": "B",
        "group": "g",
        "subs": "both",
    }
    assert api("POST", "/add_rosteritem", contact) == (200, 0)
    assert [one["nick"] for one in api("POST", "/get_roster", of)[1]] == ["B"]
    assert "old" in api("POST", "/registered_users", {"host": "localhost"})[1]
    assert api("POST", "/unregister", of)[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/users", {"jid": "a b@localhost", "password": "p"}),
        ("POST", "/v1/users", {"jid": "a@localhost", "password": "\u0000"}),
        ("PUT", "/v1/users/@localhost", {"password": "p"}),
        ("PUT", "/v1/users/%FF%00@localhost", {"password": "p"}),
        ("PUT", "/v1/users/a@localhost", {"password": "p", "email": "no mail"}),
        ("PUT", "/v1/domains/a..b", {}),
        ("PUT", "/v1/domains/x.example", {"kind": "nonsense"}),
        ("PUT", "/v1/domains/x.example", {"contacts": {"abuse": ["javascript:1"]}}),
        ("PUT", "/v1/cluster/log-level", {"level": "loud"}),
        ("POST", "/v1/announcements", {"domain": "nowhere.example", "body": "x"}),
        ("POST", "/v1/messages", {"from": "localhost", "to": "localhost", "body": "x"}),
        ("GET", "/v1/users?domain=localhost&after=%00", None),
        ("GET", "/v1/users?domain=localhost&nonsense=1", None),
    ],
)
def test_what_makes_no_sense_is_a_problem(api: Caller, method: str, path: str, body: object) -> None:
    status, told = api(method, path, body)
    assert 400 <= status < 500
    assert told["status"] == status


def test_each_call_is_in_the_log_without_its_body(cluster: Cluster, api: Caller) -> None:
    api("PUT", "/v1/users/logged@localhost", {"password": "verysecret"})
    cluster.until(lambda: "logged@localhost" in cluster.log(), "to log the call", 10)
    lines = [json.loads(line) for line in cluster.log().splitlines() if line.startswith('{"')]
    calls = [line for line in lines if line["event"] == "admin_call" and line["target"] == "logged@localhost"]
    assert [(call["operator"], call["verb"], call["status"]) for call in calls] == [
        ("token root", "users.put", 201)
    ]
    assert "verysecret" not in cluster.log()
