"""Numbers of stanzas between two servers of this kind: who offers them, what they say, and what is refused."""

from __future__ import annotations

import pytest

from rookery.workers.s2s.streams import numbers
from rookery.workers.s2s.streams.effects import Opened
from rookery.workers.s2s.streams.initiating import Initiating
from rookery.workers.s2s.streams.numbers import Number

from .talk import A, B, Side, Talk, header, inbound, outbound, proof

SAID = b"<message from='x@a.example' to='y@b.example'/>"
_SASL = b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>"


def let_in() -> Side:
    side = Side(inbound())
    side.feed(header() + b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
    side.do(side.machine.secured(proof(A)))
    side.feed(header() + _SASL)
    side.feed(header())
    return side


@pytest.mark.parametrize(("name", "numbered"), [("n1", True), ("", False)])
def test_who_has_a_name_and_is_asked_tells_it_before_the_first_stanza(name: str, numbered: bool) -> None:
    talk = Talk(outbound(name=name), inbound(), proof(A), proof(B))
    talk.run()
    assert talk.one.done == [Opened()]
    machine = talk.one.machine
    assert isinstance(machine, Initiating)
    assert machine.numbered is numbered
    talk.other.feed(numbers.before(7))
    assert (talk.other.ended is None) is numbered
    assert talk.other.machine.told.take() == (Number("n1", 7) if numbered else None)


def test_a_number_belongs_to_one_stanza() -> None:
    side = let_in()
    side.feed(numbers.begin("n1") + numbers.before(2**63 - 1))
    assert side.machine.told.take() == Number("n1", 2**63 - 1)
    assert side.machine.told.take() is None


@pytest.mark.parametrize(
    "said",
    [
        b"<n xmlns='urn:rookery:numbers:0' v='1'/>",
        numbers.begin("n") + b"<n xmlns='urn:rookery:numbers:0'/>",
        numbers.begin("n") + b"<n xmlns='urn:rookery:numbers:0' v='0'/>",
        numbers.begin("n") + b"<n xmlns='urn:rookery:numbers:0' v='-1'/>",
        numbers.begin("n") + b"<n xmlns='urn:rookery:numbers:0' v='9223372036854775808'/>",
        numbers.begin("n") + "<n xmlns='urn:rookery:numbers:0' v='٣'/>".encode(),
        b"<numbers xmlns='urn:rookery:numbers:0'/>",
        numbers.begin("n" * 65),
        b"<other xmlns='urn:rookery:numbers:0'/>",
    ],
)
def test_what_is_no_number_ends_the_stream(said: bytes) -> None:
    side = let_in()
    side.feed(said)
    assert side.ended is not None


def test_before_a_domain_has_proved_itself_nothing_has_a_number() -> None:
    side = Side(inbound())
    side.feed(header() + numbers.begin("n"))
    assert side.ended is not None


def test_a_uid_is_that_of_the_row_and_of_both_domains() -> None:
    number = Number("n1", 5)
    assert numbers.uid(number, A, B) == numbers.uid(number, A, B)
    others = {numbers.uid(*one) for one in ((number, B, A), (number, A, "c"), (Number("n2", 5), A, B))}
    assert len(others | {numbers.uid(number, A, B)}) == 4
    assert numbers.uid(number, A, B)[1] == 5


def test_a_name_tells_nothing_of_its_secret() -> None:
    assert numbers.name_of(b"a") == numbers.name_of(b"a") != numbers.name_of(b"b")
    assert len(numbers.name_of(b"a")) <= numbers.MAX_NAME
