"""Requests that are delegated to components: only their own answers count, once sealed, and not after the deadline."""

from __future__ import annotations

import time

import pytest

from rookery.shared.bus.messages import Handle, Origin
from rookery.shared.cluster.domains import DomainRow
from rookery.shared.xeps.namespace_delegation import DOMAIN, NS
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.parse import parse_element
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element
from rookery.workers.component.delegating import Delegating
from rookery.workers.component.sightings import Sightings

HERE, PEP, SPACE = "here.example", "pep.here.example", "urn:pubsub"
ALICE = f"alice@{HERE}/phone"
REQUEST = Stanza.build("iq", Element(SPACE, "pubsub"), type="get", from_=ALICE, id="1")


def delegating(secret: bytes = b"of all processes") -> Delegating:
    made = Delegating()
    made.secret = secret
    made.learn((DomainRow(HERE), DomainRow(PEP, "component", delegations={SPACE: []})))
    return made


def handle(deadline: int = 0) -> Handle:
    return Handle(Origin(b"\xff" * 16, 7, "router1", deadline), PEP, ALICE, False, REQUEST)


def answer_to(sent: Stanza, from_: str = PEP) -> Stanza:
    inner = f"<iq xmlns='jabber:client' to='{ALICE}' id='1' type='result'/>"
    payload = (
        f"<delegation xmlns='{NS}'><forwarded xmlns='urn:xmpp:forward:0'>{inner}</forwarded></delegation>"
    )
    return Stanza.build(
        "iq", parse_element(payload.encode()), type="result", from_=from_, to=HERE, id=sent.id
    )


def test_any_process_knows_what_an_answer_is_for() -> None:
    sent = delegating().wrapped(handle())
    found = delegating().answered(answer_to(sent), PEP)
    assert found is not None
    told, origin = found
    assert (told.type, told.to, told.from_, told.id) == ("result", ALICE, "", "1")
    assert origin == Origin(b"answer:" + b"\xff" * 16, 7, ""), "one answer, however often it is given"


@pytest.mark.parametrize("id", ["delegated:", "delegated:AAAA", "delegated:!", "delegated:QUFB" * 9])
def test_an_answer_to_nothing_is_dropped(id: str) -> None:
    made = delegating()
    assert made.answered(answer_to(made.wrapped(handle())).replace(id=id), PEP) is None


def test_another_component_cannot_answer() -> None:
    made = delegating()
    assert made.answered(answer_to(made.wrapped(handle())), "evil.here.example") is None
    assert delegating(b"another").answered(answer_to(made.wrapped(handle())), PEP) is None


def test_after_the_deadline_the_edge_has_answered() -> None:
    made = delegating()
    now = int(time.time() * 1000)
    assert made.answered(answer_to(made.wrapped(handle(now - 1))), PEP) is None
    assert made.answered(answer_to(made.wrapped(handle(now + 60_000))), PEP) is not None


def test_while_the_component_is_away_the_asker_hears_that() -> None:
    """XEP-0355 section 4.3, note 1."""
    made = delegating()
    error = made.wrapped(handle()).error(StanzaError("remote-server-timeout"))
    told = made.turned(error)
    assert (told.type, told.to, told.id) == ("error", ALICE, "1")
    assert b"service-unavailable" in told.inner
    other = REQUEST.error(StanzaError("forbidden"))
    assert made.turned(other) is other


def test_what_is_not_delegated_is_refused() -> None:
    made = delegating()
    for bad in (
        handle()._replace(account="other.example"),
        handle()._replace(stanza=REQUEST.replace(id="x" * 2000)),
    ):
        with pytest.raises(StanzaError, match="service-unavailable"):
            made.wrapped(bad)
    with pytest.raises(StanzaError, match="service-unavailable"):
        delegating(b"").wrapped(handle())


def test_a_component_is_asked_what_it_can_do() -> None:
    made = delegating()
    assert made.advertised(PEP) is not None
    assert made.advertised("other.example") is None
    assert made.questions("other.example") == []
    [question, _] = made.questions(PEP)
    answer = Stanza.build("iq", type="result", from_=PEP, to=HERE, id=question.id)
    told = made.told(answer)
    assert told is not None
    assert (told.component, told.node, told.text) == (PEP, f"{NS}{DOMAIN}{SPACE}", "")
    assert made.told(answer.replace(from_="x@pep.here.example")) is None
    assert made.told(answer.replace(id="delegated-disco:urn:other")) is None


def test_the_same_presence_is_told_once() -> None:
    """XEP-0356 section 8, rule 2."""
    seen = Sightings(2)
    here = Stanza.build("presence", from_="romeo@far.example/r", to=PEP)
    assert seen.fresh(here)
    assert not seen.fresh(here)
    assert seen.fresh(here.replace(to="other.example"))
    assert seen.fresh(here.replace(type="unavailable"))
    assert seen.fresh(here)
    seen.forget(PEP)
    assert seen.fresh(here)
