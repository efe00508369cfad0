"""The small rules of streams between servers: names of certificates, order of records, keys, routes, policies, back-off."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rookery.shared.cluster.domains import DomainRow
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.s2s.streams.dialback import Key, Pair, is_ours, make_key
from rookery.workers.s2s.streams.marks import Marks
from rookery.workers.s2s.streams.names import Names, matches
from rookery.workers.s2s.streams.policies import Domains, Policies, Policy
from rookery.workers.s2s.streams.records import Record, interleave, order
from rookery.workers.s2s.streams.routes import parse


def test_the_key_of_the_specification() -> None:
    """XEP-0220 example 1, XEP-0185 section 3."""
    pair = Pair("capulet.example", "montague.example")
    key = make_key(b"s3cr3tf0rd14lb4ck", pair, "D60000229F")
    assert key == "b4835385f37fe2895af6c196b59097b16862406db80559900d96bf6fa7d23df3"
    assert is_ours([b"newer", b"s3cr3tf0rd14lb4ck"], Key(pair, "D60000229F", key))
    assert not is_ours([b"newer"], Key(pair, "D60000229F", key))
    assert not is_ours([b"s3cr3tf0rd14lb4ck"], Key(pair, "D60000229F", "é"))


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("example.org", "example.org", True),
        ("example.org", "www.example.org", False),
        ("*.example.org", "www.example.org", True),
        ("*.example.org", "example.org", False),
        ("*.example.org", "a.b.example.org", False),
        ("*.org", "example.org", False),
        ("*", "example", False),
        ("w*.example.org", "www.example.org", False),
        ("www.*.org", "www.example.org", False),
        ("*.*.example.org", "a.b.example.org", False),
        ("xn--bcher-kva.example", "xn--bcher-kva.example", True),
    ],
)
def test_names_of_the_dns(pattern: str, name: str, expected: bool) -> None:
    """RFC 6125 section 6.4.3."""
    assert matches(pattern, name) is expected


def test_all_kinds_of_names() -> None:
    """RFC 6120 section 13.7.1.2."""
    names = Names(
        frozenset({"xn--bcher-kva.example"}),
        frozenset({"srv.example"}),
        frozenset({"addr.example"}),
        frozenset({"::1"}),
    )
    for domain in ("bücher.example", "srv.example", "addr.example", "[::1]"):
        assert names.cover(domain), domain
    for domain in ("other.example", "x.srv.example", "x" * 64 + "é.example", "[::2]"):
        assert not names.cover(domain), domain


def test_both_kinds_of_records_by_priority_and_weight() -> None:
    records = [
        Record(20, 0, 5269, "last"),
        Record(10, 0, 5269, "never"),
        Record(10, 3, 5270, "often", True),
        Record(10, 1, 5269, "seldom"),
        Record(5, 0, 5269, ""),
    ]
    random = Random(1)
    first: Counter[str] = Counter()
    for _ in range(2000):
        found = order(records, lambda n: random.randint(0, n))
        assert len(found) == 4
        assert found[-1].target == "last"
        first[found[0].target] += 1
    assert first["often"] > 2 * first["seldom"] > 2 * first["never"]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), max_size=12), st.randoms())
def test_every_record_is_tried_once(made: list[tuple[int, int]], random: Random) -> None:
    records = [Record(priority, weight, n, "t") for n, (priority, weight) in enumerate(made)]
    found = order(records, lambda n: random.randint(0, n))
    assert sorted(found) == sorted(records)
    assert [each.priority for each in found] == sorted(each.priority for each in found)


def test_addresses_by_turns() -> None:
    assert interleave(["a", "b", "c"], ["1"]) == ["a", "1", "b", "c"]


def test_routes() -> None:
    assert parse(["B.example=127.0.0.1:1", "b.example=tls:[::1]:2", "*=h:3"]) == {
        "b.example": [Record(0, 0, 1, "127.0.0.1"), Record(1, 0, 2, "::1", True)],
        "*": [Record(0, 0, 3, "h")],
    }


@pytest.mark.parametrize(
    "route", ["b.example", "b.example=", "b.example=h", "b.example=h:0", "b.example=h:x", "@=h:1"]
)
def test_routes_that_are_none(route: str) -> None:
    with pytest.raises(ValueError, match=r"s2s\.routes"):
        parse([route])


def test_policies() -> None:
    block, allow = Domains(["bad.example", "*.spam.example"]), Domains(["*.good.example"])
    assert Policy("open", block=block).allows("any.example")
    assert not Policy("open", block=block).allows("bad.example")
    assert not Policy("open", block=block).allows("a.b.spam.example")
    assert Policy("open", block=block).allows("spam.example")
    assert Policy("listed", allow=allow).allows("x.good.example")
    assert not Policy("listed", allow=allow).allows("any.example")
    assert not Policy("closed", allow=allow).allows("x.good.example")


def test_policies_of_hosted_domains() -> None:
    policies = Policies(Policy("open", block=Domains(["bad.example"])))
    rows = [
        DomainRow("a.org", federation={"mode": "closed"}),
        DomainRow("rooms.a.org", "rooms"),
        DomainRow("irc.a.org", "component", federation={"mode": "open", "block": ["*.spam.example"]}),
        DomainRow("b.org", federation={"mode": "listed", "allow": ["good.example", "bad.example"]}),
        DomainRow("elsewhere.net", "rooms", parent="b.org"),
        DomainRow("c.org", federation={"block": ["x.example"]}),
        DomainRow("d.org", federation={"mode": "sometimes"}),
        DomainRow("e.org", federation={"allow": "good.example"}),
        DomainRow("f.org"),
    ]
    policies.learn(rows)
    allowed = {
        (remote, row.name)
        for remote in ("good.example", "bad.example", "x.example", "a.spam.example")
        for row in rows
        if policies.allows(remote, row.name)
    }
    assert allowed == {
        ("good.example", "irc.a.org"),
        ("x.example", "irc.a.org"),
        ("good.example", "b.org"),
        ("good.example", "elsewhere.net"),
        ("good.example", "c.org"),
        ("a.spam.example", "c.org"),
        ("good.example", "f.org"),
        ("x.example", "f.org"),
        ("a.spam.example", "f.org"),
    }
    policies.learn([DomainRow("a.org")])
    assert policies.allows("good.example", "a.org")


class Waiting:
    remote = "b.example"

    def __init__(self) -> None:
        self.counts: list[int] = []

    def answered(self, count: int) -> None:
        self.counts.append(count)


def test_answers_to_pings_count_only_from_the_domain_that_was_asked() -> None:
    marks, link = Marks("p1"), Waiting()
    number = marks.enter(link)
    text = marks.ping(number, 7, Pair("a.example", "b.example"))
    id = f"s2s-mark.{number}.7.p1"
    assert id.encode() in text
    answer = Stanza.build("iq", type="result", from_="b.example", to="a.example", id=id)
    assert not marks.heard(answer.replace(type="get"))
    assert not marks.heard(answer.replace(to="x@a.example"))
    assert marks.heard(answer.replace(from_="c.example"))
    assert marks.heard(answer.replace(id="s2s-mark.99.7.p1"))
    assert not marks.heard(answer.replace(id="s2s-mark.x.7.p1"))
    assert link.counts == []
    assert marks.heard(answer.replace(type="error"))
    elsewhere: list[tuple[str, str, str]] = []
    marks.elsewhere = lambda *told: elsewhere.append(told)
    assert marks.heard(answer.replace(id=f"s2s-mark.{number}.8.p2"))
    assert elsewhere == [("p2", "b.example", f"s2s-mark.{number}.8.p2")]
    assert link.counts == [7]
    marks.leave(number)
    assert marks.heard(answer)
