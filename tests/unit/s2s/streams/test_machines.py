"""Streams between servers: both machines against each other, and each against what the RFC forbids."""

from __future__ import annotations

from base64 import b64encode

import pytest

from rookery.shared.xmpp.errors import StreamError
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.s2s.streams.api import Trouble
from rookery.workers.s2s.streams.dialback import Key, Pair, make_key
from rookery.workers.s2s.streams.effects import Acked, Ended, Opened, Paired, Verified, Verify
from rookery.workers.s2s.streams.initiating import Initiating
from rookery.workers.s2s.streams.management import Mode

from .talk import SECRET, A, B, Side, Talk, header, inbound, outbound, proof


def secure(side: Side, *names: str) -> Side:
    """Past TLS, with a certificate for `names`."""
    side.feed(header() + b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
    side.do(side.machine.secured(proof(*names)))
    side.take()
    return side


def authenticated(*names: str) -> Side:
    """Past SASL EXTERNAL, on its last header."""
    side = secure(Side(inbound()), *(names or (A,)))
    side.feed(header() + b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>")
    side.feed(header())
    side.take()
    return side


def condition(side: Side) -> str:
    assert side.ended is not None
    assert side.ended.error is not None
    assert side.written.endswith(b"</stream:stream>")
    assert f"<{side.ended.error.condition} ".encode() in side.written
    return side.ended.error.condition


def test_certificates_on_both_sides() -> None:
    talk = Talk(outbound(), inbound(), proof(A), proof(B))
    talk.run()
    assert talk.one.done == [Opened()]
    assert talk.other.done == [Paired(Pair(A, B))]
    assert talk.one.machine.out.mode is Mode.ON
    assert (A, B) in talk.other.machine.pairs


def test_dialback_where_it_is_believed() -> None:
    talk = Talk(outbound(), inbound(believes=True), proof(), proof(B))
    talk.run()
    (verify,) = talk.other.done
    assert verify == Verify(Key(Pair(A, B), "id1", make_key(SECRET, Pair(A, B), "id1")))
    talk.other.do(talk.other.machine.verified(verify.key, True))
    talk.run()
    assert Opened() in talk.one.done
    assert talk.one.machine.out.mode is Mode.ON


@pytest.mark.parametrize(
    ("valid", "stanza_condition"), [(False, "internal-server-error"), (None, "remote-server-timeout")]
)
def test_dialback_that_fails(valid: bool | None, stanza_condition: str) -> None:
    talk = Talk(outbound(), inbound(believes=True), proof(), proof(B))
    talk.run()
    (verify,) = talk.other.done
    talk.other.do(talk.other.machine.verified(verify.key, valid))
    talk.run()
    assert talk.one.ended is not None
    assert talk.one.ended.trouble.condition == stanza_condition


def test_a_server_without_a_certificate_for_its_domain_hears_nothing_of_us() -> None:
    talk = Talk(outbound(), inbound(), proof(A), proof("other.example"))
    talk.run()
    assert talk.one.ended is not None
    assert talk.one.ended.trouble.kind == "untrusted"
    assert talk.other.done == []


def test_a_listed_domain_needs_no_certificate() -> None:
    talk = Talk(outbound(weak=True), inbound(), proof(A), proof("other.example"))
    talk.run()
    assert talk.one.done == [Opened()]


def test_an_authoritative_server_knows_its_keys() -> None:
    for text, valid in ((make_key(SECRET, Pair(B, A), "x"), True), ("no", False)):
        talk = Talk(outbound(weak=True, lookup=Key(Pair(B, A), "x", text)), inbound(), proof(), proof())
        talk.run()
        assert Verified(valid) in talk.one.done


def test_further_pairs_and_their_refusal() -> None:
    talk = Talk(outbound(), inbound(pairs=2), proof(A, "c.example", "d.example"), proof(B))
    talk.run()
    for local in ("c.example", "d.example", "e.example"):
        talk.one.do(talk.one.machine.authenticate(local))
        talk.run()
    found = [effect for effect in talk.one.done if isinstance(effect, Paired)]
    assert [each.trouble is None for each in found] == [True, False, False]
    assert found[1].trouble == Trouble(text="the other side says resource-constraint", kind="stream")
    assert found[2].trouble is not None
    talk.one.do(talk.one.machine.authenticate("c.example"))
    assert talk.one.done[-1] == Paired(Pair("c.example", B))


def test_a_domain_whose_certificate_is_another_needs_a_stream_of_its_own() -> None:
    """Asked on this one, it would be refused for good (the other side believes certificates alone)."""
    talk = Talk(outbound(), inbound(), proof(A), proof(B))
    talk.run()
    talk.one.do(talk.one.machine.authenticate("c.example"))
    talk.run()
    (refused,) = [effect for effect in talk.one.done if isinstance(effect, Paired)]
    assert refused.trouble is not None
    assert (refused.trouble.kind, refused.trouble.permanent) == ("multiplex", False)
    terms = talk.one.machine.terms._replace(shares=lambda local: False)
    talk = Talk(Initiating(terms, direct=False), inbound(), proof(A), proof(B))
    talk.run()
    talk.other.written = b""
    talk.one.do(talk.one.machine.authenticate("c.example"))
    assert talk.one.written == b"", "nothing is asked"
    assert talk.one.done[-1] == Paired(Pair("c.example", B), refused.trouble)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (header(to="other.example"), "host-unknown"),
        (header(to=""), "improper-addressing"),
        (header(to="x@b.example"), "improper-addressing"),
        (header(from_="x@a.example"), "invalid-from"),
        (header(from_=B), "invalid-from"),
        (header(more=""), "unsupported-version"),
        (header() + header(), "bad-format"),
        (header() + b"<message from='x@a.example' to='y@b.example'/>", "not-authorized"),
        (header() + b"<iq xmlns='jabber:client'/>", "invalid-namespace"),
        (header() + b"<foo xmlns='urn:x'/>", "unsupported-stanza-type"),
        (header() + b"<r xmlns='urn:xmpp:sm:3'/>", "not-authorized"),
        (header() + b"<db:result from='a.example' to='b.example' type='valid'/>", "policy-violation"),
        (header() + b"<db:result from='x@a.example' to='b.example'>k</db:result>", "improper-addressing"),
        (header() + b"<db:verify from='a.example' to='b.example'>k</db:verify>", "bad-format"),
        (b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>", "invalid-namespace"),
        (header() + b"<!-- -->", "restricted-xml"),
        (b"GET / HTTP/1.1\r\n", "not-well-formed"),
    ],
)  # fmt: skip
def test_what_ends_a_stream_before_tls(data: bytes, expected: str) -> None:
    side = Side(inbound())
    side.feed(data)
    assert condition(side) == expected
    assert side.written.startswith(b"<?xml")


@pytest.mark.parametrize(
    ("from_", "to", "expected"),
    [
        ("x@a.example", "", "improper-addressing"),
        ("", "y@b.example", "improper-addressing"),
        ("x@a.example", "@", "improper-addressing"),
        ("x@c.example", "y@b.example", "invalid-from"),
        ("x@a.example", "y@c.example", "host-unknown"),
        ("x@a.example", "y@rooms.b.example", "not-authorized"),
    ],
)
def test_stanzas_only_of_proved_pairs(from_: str, to: str, expected: str) -> None:
    side = authenticated()
    with pytest.raises(StreamError) as caught:
        side.machine.pairs.admit(Stanza.build("message", from_=from_, to=to))
    assert caught.value.condition == expected


def test_addresses_are_prepared() -> None:
    stanza = Stanza.build("message", from_="X@A.example/r", to="Y@B.example")
    assert authenticated().machine.pairs.admit(stanza)[2:4] == ("y@b.example", "x@a.example/r")


@pytest.mark.parametrize(
    ("auth", "failure"),
    [
        ("mechanism='PLAIN'>=", "invalid-mechanism"),
        ("mechanism='EXTERNAL'>!", "incorrect-encoding"),
        ("mechanism='EXTERNAL'>" + b64encode(b"c.example").decode(), "invalid-authzid"),
        ("mechanism='EXTERNAL'>" + b64encode(b"\xff\xff").decode(), "invalid-authzid"),
        ("mechanism='EXTERNAL'>" + b64encode(b"x@a.example").decode(), "invalid-authzid"),
    ],
)
def test_external_that_fails_may_be_tried_again(auth: str, failure: str) -> None:
    side = secure(Side(inbound()), A)
    side.feed(header())
    side.take()
    data = f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' {auth}</auth>".encode()
    side.feed(data)
    assert f"<{failure}/>".encode() in side.take()
    for _ in range(3):
        side.feed(data)
    side.take()
    side.feed(data)
    assert condition(side) == "policy-violation"


def test_external_is_offered_only_to_whom_the_certificate_covers() -> None:
    for names, offered in (((A,), True), (("other.example",), False)):
        side = secure(Side(inbound()), *names)
        side.feed(header())
        assert (b"EXTERNAL" in side.written) is offered
        side.feed(b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>")
        assert (b"<success" in side.written) is offered


def test_a_domain_that_is_not_allowed() -> None:
    side = Side(inbound(allowed=False))
    side.feed(header())
    assert condition(side) == "policy-violation"


def test_the_header_after_authentication_is_of_the_same_pair() -> None:
    side = secure(Side(inbound()), A)
    side.feed(header() + b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>")
    side.feed(header(from_="c.example"))
    assert condition(side) == "invalid-from"


@pytest.mark.parametrize(
    ("data", "answer"),
    [
        ("<db:result from='a.example' to='c.example'>k</db:result>", "item-not-found"),
        ("<db:result from='b.example' to='rooms.b.example'>k</db:result>", "not-acceptable"),
        ("<db:result from='c.example' to='b.example'>k</db:result>", "not-authorized"),
        ("<db:result from='a.example' to='b.example'>k</db:result>", "type='valid'"),
        ("<db:verify from='a.example' to='c.example' id='1'>k</db:verify>", "item-not-found"),
        ("<db:verify from='a.example' to='b.example' id='1'>k</db:verify>", "type='invalid'"),
    ],
)
def test_answers_of_dialback(data: str, answer: str) -> None:
    side = secure(Side(inbound()), A)
    side.feed(header())
    side.take()
    side.feed(data.encode())
    assert answer.encode() in side.written
    assert side.ended is None


def test_dialback_before_tls_is_refused() -> None:
    side = Side(inbound(believes=True))
    side.feed(header() + b"<db:result from='a.example' to='b.example'>k</db:result>")
    assert b"policy-violation" in side.written
    assert side.done == []


def test_a_forged_key_ends_a_stream_on_which_no_domain_has_proved_itself() -> None:
    """XEP-0220 section 2.2.1."""
    side = secure(Side(inbound(believes=True)), "other.example")
    side.feed(header() + b"<db:result from='a.example' to='b.example'>forged</db:result>")
    (verify,) = side.done
    assert isinstance(verify, Verify)
    side.do(side.machine.verified(verify.key, False))
    assert b"type='invalid'" in side.written
    assert side.written.endswith(b"</stream:stream>")
    assert side.ended is not None


def test_a_forged_key_does_not_concern_pairs_that_are_proved_but_ends_with_too_many() -> None:
    side = secure(Side(inbound(believes=True)), A)
    side.feed(header() + b"<db:result from='a.example' to='b.example'>k</db:result>")
    side.done.clear()
    for number in range(10):
        assert side.ended is None
        side.feed(f"<db:result from='s{number}.example' to='b.example'>forged</db:result>".encode())
        verify = side.done.pop()
        assert isinstance(verify, Verify)
        side.do(side.machine.verified(verify.key, False if number % 2 else None))
    assert side.written.count(b"<forbidden ") == side.written.count(b"<remote-server-timeout ") == 5
    assert condition(side) == "policy-violation"


def test_keys_under_way_are_bounded_as_pairs_are() -> None:
    side = secure(Side(inbound(believes=True, pairs=2)), "other.example")
    side.feed(header())
    for number in range(5):
        side.feed(f"<db:result from='s{number}.a.example' to='b.example'>k</db:result>".encode())
    assert len(side.done) == 2
    assert side.written.count(b"resource-constraint") == 3


@pytest.mark.parametrize(
    "data",
    [
        b"<db:result from='b.example' to='a.example' type='valid'/>",
        b"<db:result from='b.example' to='a.example'>key</db:result>",
        b"<db:verify from='b.example' to='a.example' id='1' type='valid'/>",
        b"<db:result from='c.example' to='a.example' type='valid'/>",
    ],
)
def test_answers_that_nobody_asked_for_end_our_stream(data: bytes) -> None:
    talk = Talk(outbound(), inbound(), proof(A), proof(B))
    talk.run()
    talk.one.feed(data)
    assert condition(talk.one) == "policy-violation"


@pytest.mark.parametrize(
    ("error", "kind", "permanent"),
    [
        ("host-unknown", "policy", True),
        ("not-authorized", "auth", True),
        ("system-shutdown", "shutdown", False),
        ("resource-constraint", "limit", False),
        ("undefined-condition", "stream", False),
    ],
)
def test_their_errors(error: str, kind: str, permanent: bool) -> None:
    side = Side(outbound())
    side.do(side.machine.begin())  # type: ignore[union-attr]
    side.feed(header(B, A, " id='1' version='1.0'"))
    words = f"<stream:error><{error} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"
    side.feed(words.encode())
    assert isinstance(side.ended, Ended)
    assert (side.ended.trouble.kind, side.ended.trouble.permanent) == (kind, permanent)


def test_a_server_without_tls_is_not_spoken_to() -> None:
    side = Side(outbound())
    side.do(side.machine.begin())  # type: ignore[union-attr]
    side.feed(header(B, A, " id='1' version='1.0'") + b"<stream:features/>")
    assert side.ended is not None
    assert side.ended.trouble.kind == "tls"


def test_acknowledgements_of_both_kinds() -> None:
    talk = Talk(outbound(), inbound(), proof(A), proof(B))
    talk.run()
    out, got = talk.one.machine.out, talk.other.machine.inbound
    out.sent = got.received = 3
    talk.one.do(out.mark())
    talk.run()
    assert not any(isinstance(effect, Acked) for effect in talk.one.done)
    talk.other.do(got.accepted(2))
    talk.other.do(got.accepted(3))
    talk.run()
    assert Acked(3) in talk.one.done
    talk.one.feed(b"<a xmlns='urn:xmpp:sm:3' h='4'/>")
    assert condition(talk.one) == "undefined-condition"
