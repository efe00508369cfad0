"""Tasks of XEP-0480 on a stream: what a client may do between authentication and success, and what ends it."""

from __future__ import annotations

from base64 import b64encode

import pytest
from tests.unit.edge.login.test_inline import BIND, FULL, authenticate, of, opened
from tests.unit.edge.login.test_negotiation import KEYS, OPEN, POLICY, Stream

from rookery.edge.login.effects import Admit, AskBind, AskKeys, AuthEnded, Close, Phase
from rookery.shared.bus.messages import Bound
from rookery.shared.xmpp.sasl.keys import keys_of

SASL2 = "urn:xmpp:sasl:2"
UPGRADE = "<upgrade xmlns='urn:xmpp:sasl:upgrade:0'>UPGR-{}</upgrade>"
LACKING = KEYS._replace(missing=("SCRAM-SHA-1", "SCRAM-SHA-512"))
HASH = b"h" * 20


def next_(task: str) -> str:
    return f"<next xmlns='{SASL2}' task='{task}'/>"


def data(value: bytes | str, name: str = "hash", ns: str = "urn:xmpp:scram-upgrade:0") -> str:
    text = value if isinstance(value, str) else b64encode(value).decode()
    return f"<task-data xmlns='{SASL2}'><{name} xmlns='{ns}'>{text}</{name}></task-data>"


def proved(stream: Stream, *children: str) -> str:
    stream.feed(authenticate(*children))
    stream.take(stream.machine.authentication.credentials(LACKING))
    return stream.take(stream.machine.authentication.checked(True))


def at_task(step: str = "") -> Stream:
    stream = opened()
    proved(stream, UPGRADE.format("SCRAM-SHA-1"), BIND.format(""))
    if step:
        stream.feed(next_("UPGR-SCRAM-SHA-1"))
    return stream


def test_tasks_are_offered_to_everybody() -> None:
    features = Stream().feed(OPEN.format("example.org"))
    for mechanism in POLICY.upgrades:
        assert f"<upgrade xmlns='urn:xmpp:sasl:upgrade:0'>UPGR-{mechanism}</upgrade>" in features


def test_two_keys_are_given_one_after_the_other_then_everything_that_was_asked_for() -> None:
    stream = opened()
    written = proved(stream, UPGRADE.format("SCRAM-SHA-512"), UPGRADE.format("SCRAM-SHA-1"), BIND.format(""))
    assert written == f"<continue xmlns='{SASL2}'><tasks><task>UPGR-SCRAM-SHA-512</task></tasks></continue>"
    assert of(stream, AskBind) == of(stream, Admit) == []
    assert stream.machine.stream.phase is Phase.TASK
    written = stream.feed(next_("UPGR-SCRAM-SHA-512"))
    assert f"<task-data xmlns='{SASL2}'><salt xmlns='urn:xmpp:scram-upgrade:0' iterations='4096'>" in written
    assert stream.feed(data(b"x" * 64)) == ""
    (ask,) = of(stream, AskKeys)
    assert isinstance(ask, AskKeys)
    request = ask.request
    assert request[:3] == ("a@example.org", "SCRAM-SHA-512", 4096)
    assert (request.stored_key, request.server_key) == keys_of("SCRAM-SHA-512", b"x" * 64)
    assert request.proved == KEYS.salt
    assert b64encode(request.salt).decode() in written
    assert "<task>UPGR-SCRAM-SHA-1</task>" in stream.take(stream.machine.inline.upgraded())
    stream.feed(next_("UPGR-SCRAM-SHA-1"))
    stream.feed(data(HASH))
    (again,) = of(stream, AskKeys)
    assert isinstance(again, AskKeys)
    assert again.request.salt != request.salt
    stream.take(stream.machine.inline.upgraded())
    assert len(of(stream, Admit)) == len(of(stream, AskBind)) == 1
    written = stream.take(stream.machine.bound(Bound(FULL, 7), None))
    assert f"<authorization-identifier>{FULL}<" in written
    assert "additional-data" not in written


@pytest.mark.parametrize(
    ("selected", "keys"),
    [
        ("", LACKING),
        (UPGRADE.format("SCRAM-SHA-256"), LACKING),  # it has those
        (UPGRADE.format("SCRAM-SHA-1"), KEYS),  # it has all
        (UPGRADE.format("SCRAM-SHA-1-PLUS"), LACKING),  # names have no -PLUS (section 2.1)
        (UPGRADE.format("BLOOP-42"), LACKING),
        ("<upgrade xmlns='urn:xmpp:sasl:upgrade:0'>SCRAM-SHA-1</upgrade>", LACKING),
        ("<upgrade xmlns='urn:example'>UPGR-SCRAM-SHA-1</upgrade>", LACKING),
    ],
)
def test_nothing_is_continued_without_need(selected: str, keys: object) -> None:
    stream = opened()
    stream.feed(authenticate(selected))
    assert isinstance(keys, type(KEYS))
    stream.take(stream.machine.authentication.credentials(keys))
    assert stream.take(stream.machine.authentication.checked(True)).startswith("<success")


@pytest.mark.parametrize(
    ("step", "sent", "condition"),
    [
        ("", next_("UPGR-SCRAM-SHA-512"), "malformed-request"),  # not the one that is due
        ("", next_(""), "malformed-request"),
        ("", f"<abort xmlns='{SASL2}'/>", "aborted"),
        ("salted", data(b"short"), "malformed-request"),
        ("salted", data(b"h" * 32), "malformed-request"),  # of another hash function
        ("salted", data(""), "malformed-request"),  # MUST NOT be empty (section 3)
        ("salted", data("no base64!"), "incorrect-encoding"),
        ("salted", data(HASH, ns="urn:example"), "malformed-request"),
        ("salted", f"<task-data xmlns='{SASL2}'/>", "malformed-request"),
        ("salted", f"<abort xmlns='{SASL2}'/>", "aborted"),
    ],
)
def test_a_task_that_fails_takes_the_authentication_back(step: str, sent: str, condition: str) -> None:
    stream = at_task(step)
    written = stream.feed(sent)
    assert f"<failure xmlns='{SASL2}'><{condition} " in written
    assert of(stream, AskKeys) == of(stream, AskBind) == of(stream, Admit) == []
    assert stream.machine.stream.account == ""
    assert stream.machine.stream.phase is Phase.FEATURES
    assert [end.account for end in of(stream, AuthEnded) if isinstance(end, AuthEnded)][-1] == "a@example.org"
    # Nothing of it is left: the next attempt is a whole one.
    assert "<success" in proved(stream)


@pytest.mark.parametrize("step", ["", "salted"])
@pytest.mark.parametrize(
    ("sent", "condition"),
    [
        (authenticate(), "policy-violation"),  # once <continue/> was sent (XEP-0388 section 4)
        ("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'/>", "policy-violation"),
        (f"<response xmlns='{SASL2}'>AA==</response>", "not-authorized"),
        ("<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>", "not-authorized"),
        ("<message to='b@example.org'/>", "not-authorized"),
        ("<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>", "not-authorized"),
        ("<enable xmlns='urn:xmpp:sm:3'/>", "not-authorized"),
        ("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", "not-authorized"),
    ],
)
def test_nothing_else_may_come_between(step: str, sent: str, condition: str) -> None:
    stream = at_task(step)
    assert f"<{condition} " in stream.feed(sent)
    assert len(of(stream, Close)) == 1


@pytest.mark.parametrize("sent", [data(HASH), next_("UPGR-SCRAM-SHA-1")])
def test_steps_in_another_order_end_the_stream(sent: str) -> None:
    stream = at_task("" if "task-data" in sent else "salted")
    assert "<policy-violation " in stream.feed(sent)


def test_without_an_answer_the_client_is_not_logged_in() -> None:
    stream = at_task("salted")
    stream.feed(data(HASH))
    assert "<temporary-auth-failure " in stream.take(stream.machine.authentication.denied())
    assert stream.machine.stream.account == ""


def test_a_step_without_an_authentication() -> None:
    for sent in (next_("UPGR-SCRAM-SHA-1"), data(HASH)):
        stream = opened()
        assert "<not-authorized " in stream.feed(sent)
        assert len(of(stream, Close)) == 1
