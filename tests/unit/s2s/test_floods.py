"""Accounts that flood other servers, strangers that ask for subscriptions."""

from __future__ import annotations

from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.s2s import floods
from rookery.workers.s2s.floods import Floods, Requests

SPAMMER = "spammer@here.example"
CHAT = Stanza.build("message", type="chat", to="x@there.example", from_=f"{SPAMMER}/r")
IQ = Stanza.build("iq", type="get", to="there.example", from_=f"{SPAMMER}/r", id="1")


def test_beyond_its_rate_an_account_waits_and_keeps_its_order() -> None:
    line: Floods[str] = Floods(60, 3)
    assert [line.take(SPAMMER, CHAT, str(n), 0.0) for n in range(5)] == [True, True, True, False, False]
    assert line.take(SPAMMER, IQ, "iq", 0.0) is False, "what is behind does not overtake"
    assert line.take("other@here.example", CHAT, "other", 0.0) is True
    assert line.slowed == 1
    assert line.due(0.5) == ["3"], "a bucket that is not empty gives one"
    assert line.due(1.0) == []
    assert line.due(2.0) == ["4", "iq"]
    assert line.slowed == 0
    assert line.take(SPAMMER, IQ, "iq", 2.0) is True


def test_what_waits_is_bounded(monkeypatch: object) -> None:
    line: Floods[int] = Floods(60, 1)
    taken = [line.take(SPAMMER, CHAT, n, 0.0) for n in range(floods.LINE + 3)]
    assert taken[0] is True
    assert taken[1 : floods.LINE + 1] == [False] * floods.LINE
    assert taken[floods.LINE + 1 :] == [None, None]


def test_rooms_errors_and_requests_are_no_flood() -> None:
    line: Floods[int] = Floods(60, 1)
    for kind, type in (("message", "groupchat"), ("message", "error"), ("presence", ""), ("iq", "set")):
        stanza = Stanza.build(kind, type=type, to="x@there.example", from_=SPAMMER, id="1")
        assert all(line.take(SPAMMER, stanza, n, 0.0) for n in range(50))


def test_no_limit() -> None:
    line: Floods[int] = Floods(0, 1)
    assert all(line.take(SPAMMER, CHAT, n, 0.0) for n in range(5000))
    assert all(Requests(0).allows("there.example", SPAMMER, 0.0) for _ in range(5000))


def test_requests_are_counted_by_domain_and_by_account() -> None:
    requests = Requests(40)
    assert sum(requests.allows("spam.example", f"u{n}@here.example", 0.0) for n in range(100)) == 40
    assert sum(requests.allows(f"s{n}.example", "alice@here.example", 0.0) for n in range(100)) == 10
    assert requests.allows("other.example", "bob@here.example", 0.0)
    assert requests.refused == 150
    assert requests.allows("spam.example", "u0@here.example", 60.0)


def test_what_is_remembered_is_bounded() -> None:
    requests = Requests(4)
    for n in range(2 * floods.NAMES):
        requests.allows(f"s{n}.example", "alice@here.example", 0.0)
    assert requests._remotes is not None
    assert len(requests._remotes._found) == floods.NAMES
