"""A domain that asks people who make accounts something: the form on a stream, and what comes back (XEP-0158)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rookery.edge.login.effects import AskForm, AskInvited, AskRegister, Wait
from rookery.edge.login.framing import TCP
from rookery.edge.login.negotiation import Negotiation
from rookery.edge.policy import HostedDomain, Security
from rookery.shared.xeps import captcha
from rookery.shared.xeps.captcha import Answer, Puzzle
from rookery.shared.xmpp.errors import StanzaError

from .test_invited import ACCOUNT, PREAUTH
from .test_negotiation import OPEN, POLICY, Stream, want

GET = "<iq type='get' id='reg1'><query xmlns='jabber:iq:register'/></iq>"
SET = (
    "<iq type='set' id='reg2'><query xmlns='jabber:iq:register'><x xmlns='jabber:x:data' type='submit'>"
    "<field var='FORM_TYPE'><value>jabber:iq:register</value></field><field var='challenge'><value>F3</value></field>"
    "<field var='sid'><value>reg1</value></field><field var='qa'><value>blue</value></field>"
    "<field var='username'><value>Bill</value></field><field var='password'><value>pw</value></field></x></query></iq>"
)


@pytest.fixture
def stream() -> Stream:
    stream = Stream()
    domains = {"asks.example": HostedDomain("asks.example", registration=True, puzzles=True)}
    policy = replace(POLICY, invitations=True, find=domains.get)
    stream.machine = Negotiation(policy, Security(secure=True), TCP, lambda: "token")
    stream.feed(OPEN.format("asks.example"))
    return stream


def test_the_form_has_the_question_and_the_answer_goes_to_the_worker(stream: Stream) -> None:
    assert stream.feed(GET) == ""
    assert want(stream, AskForm) == AskForm("asks.example")
    form = stream.take(stream.machine.registering.asked(Puzzle("F3", "Which colour?", "e03d7")))
    assert "<iq from='asks.example' type='result' id='reg1'>" in form
    assert "<field var='sid' type='hidden'><value>reg1</value></field>" in form
    assert "<username/>" not in form, "what could be filled in without the answer"
    assert want(stream, Wait).seconds == POLICY.form_seconds
    stream.feed(SET)
    assert want(stream, AskRegister) == AskRegister(
        "bill@asks.example", "asks.example", "bill", "pw", "", "", Answer("F3", "blue", "")
    )
    refused = StanzaError("not-acceptable", "no", type="cancel", app=captcha.REFUSED)
    said = stream.take(stream.machine.registering.registered(refused))
    assert "<error type='cancel'><not-acceptable " in said
    assert "<captcha xmlns='urn:xmpp:captcha'/>" in said


def test_without_an_answer_the_worker_decides(stream: Stream) -> None:
    stream.feed(ACCOUNT)
    assert want(stream, AskRegister).puzzle == Answer()


def test_nobody_to_ask(stream: Stream) -> None:
    stream.feed(GET)
    error = StanzaError("resource-constraint", type="wait")
    assert "<resource-constraint " in stream.take(stream.machine.registering.asked(error))
    # Another question came meanwhile, or none is asked any more: the form has what there is.
    stream.feed(GET)
    assert "<field var='username'" in stream.take(stream.machine.registering.asked(Puzzle("")))


def test_whoever_was_invited_is_not_asked(stream: Stream) -> None:
    stream.feed(PREAUTH)
    want(stream, AskInvited)
    stream.take(stream.machine.registering.invited(None))
    assert "<username/>" in stream.feed(GET)
    stream.feed(ACCOUNT)
    assert want(stream, AskRegister).token == "T"


@pytest.mark.parametrize("type", ["cancel", "form", "result"])
def test_a_form_that_is_not_submitted_says_nothing(stream: Stream, type: str) -> None:
    assert "<not-acceptable " in stream.feed(SET.replace("'submit'", f"'{type}'"))
