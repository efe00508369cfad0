"""XEP-0079: which rules are met, what senders are told, and what is refused; in the router: tests/unit/router/delivery/test_amp.py."""

from __future__ import annotations

import pytest

from rookery.shared.xeps._disco import NS_INFO
from rookery.shared.xeps.advanced_messages import FEATURES, NS, Fate, expired, has_rules, judge
from rookery.shared.xeps.service_discovery import info_of_domain
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

from .helpers import context, iq

NOW = 1_800_000_000.0  # 2027-01-15T08:00:00Z
PAST, FUTURE = "2027-01-15T07:59:59Z", "2027-01-15T08:00:01.5Z"
DIRECT, STORED, NONE = Fate("direct", ("home",)), Fate("stored"), Fate("none")
BODY = Element("jabber:client", "body", None, "secret")


def message(*rules: tuple[str, str, str], to: str = "b@x.org/home", id: str = "m1", **amp: str) -> Stanza:
    children = [
        Element(NS, "rule", {"condition": condition, "action": action, "value": value})
        for condition, action, value in rules
    ]
    return Stanza.build("message", BODY, Element(NS, "amp", amp, *children), to=to, from_="a@y.org/r", id=id)


@pytest.mark.parametrize(
    ("condition", "value", "fate", "met"),
    [
        ("deliver", "direct", DIRECT, True),
        ("deliver", "direct", STORED, False),
        ("deliver", "stored", STORED, True),
        ("deliver", "none", NONE, True),
        ("deliver", "forward", DIRECT, False),
        ("expire-at", PAST, DIRECT, True),
        ("expire-at", FUTURE, DIRECT, False),
        ("expire-at", PAST, STORED, False),
        ("match-resource", "exact", DIRECT, True),
        ("match-resource", "exact", Fate("direct", ("home", "work")), False),
        ("match-resource", "exact", Fate("direct", ("work",)), False),
        ("match-resource", "other", Fate("direct", ("work",)), True),
        ("match-resource", "other", DIRECT, False),
        ("match-resource", "other", STORED, True),
        ("match-resource", "other", NONE, False),
        ("match-resource", "any", STORED, True),
    ],
)
def test_when_a_condition_is_met(condition: str, value: str, fate: Fate, met: bool) -> None:
    """Section 4.3."""
    verdict = judge(message((condition, "drop", value)), fate, NOW, False)
    assert verdict.goes_on is not met
    assert list(verdict.answers) == []


def test_an_address_without_a_resource_is_that_of_the_store() -> None:
    """Section 4.3.3."""
    for value, fate, met in (("exact", STORED, True), ("exact", DIRECT, False), ("other", DIRECT, True)):
        one = message(("match-resource", "drop", value), to="b@x.org")
        assert judge(one, fate, NOW, False).goes_on is not met


@pytest.mark.parametrize("action", ["alert", "error", "notify"])
def test_a_sender_is_told(action: str) -> None:
    """Section 4.4: the rule and the id, from the server, without what the message said."""
    verdict = judge(message(("deliver", action, "stored")), STORED, NOW, True)
    assert verdict.goes_on is (action == "notify")
    (answer,) = verdict.answers
    assert (answer.from_, answer.to, answer.id) == ("x.org", "a@y.org/r", "m1")
    assert answer.type == ("error" if action == "error" else "")
    amp = answer.find(NS, "amp")
    assert amp is not None
    assert amp.attrs == {"status": action, "from": "a@y.org/r", "to": "b@x.org/home"}
    assert b"secret" not in answer.inner
    assert (b"<undefined-condition" in answer.inner) is (action == "error")
    assert (b"failed-rules" in answer.inner) is (action == "error")
    assert not has_rules(answer)


def test_the_first_rule_that_is_met_decides_and_a_notice_lets_the_next_be_asked() -> None:
    """Section 3.3."""
    rules = [
        ("deliver", "error", "none"),
        ("deliver", "notify", "direct"),
        ("match-resource", "alert", "exact"),
        ("deliver", "drop", "direct"),
    ]
    verdict = judge(message(*rules), DIRECT, NOW, True)
    assert not verdict.goes_on
    statuses = [amp.get("status") for one in verdict.answers if (amp := one.find(NS, "amp"))]
    assert statuses == ["notify", "alert"]
    # Per hop a resource says nothing (section 4.3.3).
    assert not judge(message(*rules, **{"per-hop": "true"}), DIRECT, NOW, True).goes_on
    assert judge(message(rules[2], **{"per-hop": "true"}), DIRECT, NOW, True).goes_on


@pytest.mark.parametrize(
    ("stanza", "condition", "app"),
    [
        (message(("deliver", "explode", "direct")), b"bad-request", b"unsupported-actions"),
        (message(("moon", "drop", "full")), b"bad-request", b"unsupported-conditions"),
        (message(("deliver", "drop", "perhaps")), b"not-acceptable", b"invalid-rules"),
        (message(("expire-at", "drop", "tomorrow")), b"not-acceptable", b"invalid-rules"),
        (message(("expire-at", "drop", "2027-01-15T08:00:00+01:00")), b"not-acceptable", b"invalid-rules"),
        (message(("expire-at", "drop", "0001-01-01T00:00:00Z" * 9)), b"not-acceptable", b"invalid-rules"),
        (message(("deliver", "drop", "none"), id=""), b"bad-request", b"invalid-rules"),
        (message(), b"bad-request", b"invalid-rules"),
        (message(*[("deliver", "drop", "none")] * 17), b"bad-request", b"invalid-rules"),
    ],
)
def test_what_is_not_understood_is_refused(stanza: Stanza, condition: bytes, app: bytes) -> None:
    """Section 5; nothing is delivered then."""
    verdict = judge(stanza, DIRECT, NOW, True)
    assert not verdict.goes_on
    (answer,) = verdict.answers
    assert answer.type == "error"
    assert condition in answer.inner
    assert app in answer.inner


def test_who_may_not_see_presence_is_not_told_of_it() -> None:
    """Section 9: whoever learns where a message went learns who is online."""
    for rule in (("deliver", "notify", "direct"), ("match-resource", "error", "other")):
        for fate in (DIRECT, STORED, NONE):
            verdict = judge(message(rule), fate, NOW, False)
            assert b"not-acceptable" in verdict.answers[0].inner
    assert judge(message(("deliver", "drop", "stored")), DIRECT, NOW, False).goes_on
    assert judge(message(("expire-at", "error", FUTURE)), DIRECT, NOW, False).goes_on


def test_stored_messages_expire() -> None:
    for action, goes_on, told in (("drop", False, 0), ("error", False, 1), ("notify", True, 1)):
        verdict = expired(message(("deliver", "drop", "none"), ("expire-at", action, PAST)), NOW)
        assert (verdict.goes_on, len(verdict.answers)) == (goes_on, told)
    assert expired(message(("expire-at", "drop", FUTURE)), NOW).goes_on
    assert expired(Stanza.build("message", BODY, to="b@x.org"), NOW).goes_on


def test_the_node_tells_what_is_supported() -> None:
    """Section 2.2."""
    answer = info_of_domain(iq(f"<query xmlns='{NS_INFO}' node='{NS}'/>"), context())
    told = [one.get("var") for one in answer.elements()[0].elements(NS_INFO, "feature")]
    assert told == list(FEATURES)
    assert f"{NS}?condition=expire-at" in told
