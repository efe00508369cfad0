"""SASL2 (XEP-0388) with what a client wants at once: an earlier stream (XEP-0198), a resource (XEP-0386)."""

from __future__ import annotations

from base64 import b64encode

import pytest
from tests.unit.edge.login.test_negotiation import KEYS, OPEN, Stream

from rookery.edge.login.effects import Admit, AskBind, AskResume, AuthEnded, Begin, Close, Phase, Restart
from rookery.edge.policy import Security
from rookery.shared.bus.messages import Bound, Management, NotResumed, Resumed
from rookery.shared.xeps import message_archive
from rookery.shared.xeps import stream_management as sm
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.xml import Element

SASL2 = "urn:xmpp:sasl:2"
AGENT = "d4565fa7-4d72-4749-b3d3-740edbf87770"
FULL = "a@example.org/x.1"
INITIAL = b64encode(b"\0a\0pw").decode()
RESUME = f"<resume xmlns='{sm.NS}' previd='{sm.write_token(b't' * 24)}' h='3'/>"
BIND = "<bind xmlns='urn:xmpp:bind:0'><tag>Tester</tag>{}</bind>"


def authenticate(*children: str, mechanism: str = "PLAIN", initial: str | None = INITIAL) -> str:
    first = "" if initial is None else f"<initial-response>{initial}</initial-response>"
    return f"<authenticate xmlns='{SASL2}' mechanism='{mechanism}'>{first}{''.join(children)}</authenticate>"


def opened(from_: str = "") -> Stream:
    stream = Stream()
    text = OPEN.format("example.org")
    stream.feed(text.replace(" to=", f" from='{from_}' to=") if from_ else text)
    return stream


def proved(stream: Stream, *children: str) -> str:
    """Authenticate; returns what was written at once."""
    stream.feed(authenticate(*children))
    stream.take(stream.machine.authentication.credentials(KEYS))
    return stream.take(stream.machine.authentication.checked(True))


def of(stream: Stream, kind: type) -> list[object]:
    return [effect for effect in stream.effects if isinstance(effect, kind)]


def test_it_is_offered_where_tls_is_and_nowhere_else() -> None:
    assert f"<authentication xmlns='{SASL2}'>" in Stream().feed(OPEN.format("example.org"))
    for security in (Security(starttls=True), Security(plaintext=True)):
        assert SASL2 not in Stream(security).feed(OPEN.format("example.org"))


def test_without_tls_it_is_refused() -> None:
    stream = Stream(Security(plaintext=True))
    stream.feed(OPEN.format("example.org"))
    assert "<encryption-required" in stream.feed(authenticate())


def test_success_names_the_account_and_features_follow_on_the_same_stream() -> None:
    stream = opened()
    written = proved(stream)
    assert written.startswith(f"<success xmlns='{SASL2}'><authorization-identifier>a@example.org</")
    success, _, features = written.partition("</success>")
    assert "additional-data" not in success
    assert "xmpp-bind" in features
    assert of(stream, Restart) == []
    assert len(of(stream, Admit)) == 1
    assert stream.machine.stream.phase is Phase.BINDING
    # and the client binds as RFC 6120 has it
    stream.feed("<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>")
    assert [ask.account for ask in of(stream, AskBind) if isinstance(ask, AskBind)] == ["a@example.org"]


def test_a_resource_at_once_with_what_its_session_shall_have() -> None:
    stream = opened()
    wanted = (
        f"<enable xmlns='{sm.NS}' resume='true'/><enable xmlns='urn:xmpp:carbons:2'/>"
        "<inactive xmlns='urn:xmpp:csi:0'/>"
    )
    assert proved(stream, f"<user-agent id='{AGENT}'/>", BIND.format(wanted)) == ""
    (ask,) = of(stream, AskBind)
    assert isinstance(ask, AskBind)
    assert ask.marks == ("archive", "carbons")
    assert ask.enable is not None
    assert ask.enable.get("resume") == "true"
    assert ask.resource.startswith("Tester.")
    assert stream.machine.stream.asking
    enabled = sm.enabled(b"t" * 24, 300)
    written = stream.take(stream.machine.bound(Bound(FULL, 7), enabled))
    assert f"<authorization-identifier>{FULL}</authorization-identifier>" in written
    assert "<bound xmlns='urn:xmpp:bind:0'><enabled xmlns='urn:xmpp:sm:3'" in written
    features = written.partition("</success>")[2]
    assert "<stream:features>" in features
    assert "xmpp-bind" not in features
    (begin,) = of(stream, Begin)
    assert isinstance(begin, Begin)
    assert (begin.bound.full, begin.active) == (FULL, False)


@pytest.mark.parametrize(
    ("found", "inside"),
    [
        ((), ""),
        (
            (("a", 0.0), ("b", 1.5)),
            "<start id='a' timestamp='1970-01-01T00:00:00.000Z'/><end id='b' timestamp=",
        ),
        (
            (("a", 0.0), ("a", 0.0)),
            "<start id='a' timestamp='1970-01-01T00:00:00.000Z'/><end id='a' timestamp=",
        ),
    ],
)
def test_the_ends_of_the_archive_come_first(found: tuple[tuple[str, float], ...], inside: str) -> None:
    """XEP-0386 section 4.2, XEP-0313 section 5: an empty archive is told as such."""
    stream = opened()
    proved(stream, BIND.format(f"<enable xmlns='{sm.NS}'/>"))
    written = stream.take(
        stream.machine.bound(Bound(FULL, 7), sm.enabled(b"", 0), message_archive.ends(found))
    )
    start = f"<metadata xmlns='urn:xmpp:mam:2'>{inside}" if found else "<metadata xmlns='urn:xmpp:mam:2'/>"
    assert f"<bound xmlns='urn:xmpp:bind:0'>{start}" in written
    assert written.index("<metadata") < written.index("<enabled")


def test_one_client_has_one_resource_and_others_have_others() -> None:
    def resource(agent: str, tag: str = "<tag>Tester</tag>") -> str:
        stream = opened()
        proved(
            stream,
            f"<user-agent id='{agent}'/>" if agent else "",
            f"<bind xmlns='urn:xmpp:bind:0'>{tag}</bind>",
        )
        (ask,) = of(stream, AskBind)
        assert isinstance(ask, AskBind)
        return ask.resource

    assert resource(AGENT) == resource(AGENT.upper())
    assert AGENT not in resource(AGENT)
    assert resource(AGENT) != resource(AGENT.replace("d", "e"))
    assert resource("no uuid") == resource("")  # an id that is none is not believed: the token counts
    assert resource(AGENT, "") not in ("", resource(AGENT))


def test_an_earlier_stream_goes_on_and_no_resource_is_bound() -> None:
    stream = opened()
    assert proved(stream, RESUME, BIND.format("")) == ""
    assert of(stream, AskBind) == []
    (ask,) = of(stream, AskResume)
    assert isinstance(ask, AskResume)
    assert (ask.account, ask.h) == ("a@example.org", 3)
    management = Management(b"t" * 24, 300, 10, 0, 15, (), False)
    written = stream.take(stream.machine.resumed(Resumed(FULL, 7, b"s" * 16, 3, management, b"")))
    assert f"<authorization-identifier>{FULL}</authorization-identifier><resumed " in written
    assert "h='5'" in written
    assert "<bound" not in written
    assert len(of(stream, Begin)) == 1


def test_a_stream_that_is_gone_is_told_and_a_resource_is_bound() -> None:
    stream = opened()
    proved(stream, RESUME, BIND.format(""))
    assert stream.take(stream.machine.not_resumed(NotResumed(4))) == ""
    assert len(of(stream, AskBind)) == 1
    written = stream.take(stream.machine.bound(Bound(FULL, 7), None))
    assert "<failed xmlns='urn:xmpp:sm:3' h='4'>" in written
    assert "<bound xmlns='urn:xmpp:bind:0'/>" in written


@pytest.mark.parametrize("bad", ["h='3'", "previd='non sense' h='3'", "previd='x' h='-1'"])
def test_a_bad_resumption_fails_alone(bad: str) -> None:
    stream = opened()
    written = proved(stream, f"<resume xmlns='{sm.NS}' {bad}/>")
    assert "<failed xmlns='urn:xmpp:sm:3'" in written
    assert "<authorization-identifier>a@example.org</" in written


def test_a_binding_that_is_refused_leaves_the_client_authenticated() -> None:
    stream = opened()
    proved(stream, BIND.format(""))
    written = stream.take(stream.machine.unbound(StanzaError("resource-constraint")))
    assert "<success" in written
    assert "<bound" not in written
    assert stream.machine.stream.phase is Phase.BINDING


def test_a_failure_is_of_the_profile_and_nothing_inline_is_done() -> None:
    stream = opened()
    stream.feed(authenticate(BIND.format("")))
    stream.take(stream.machine.authentication.credentials(KEYS))
    written = stream.take(stream.machine.authentication.checked(False))
    assert written.startswith(
        f"<failure xmlns='{SASL2}'><not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"
    )
    assert of(stream, AskBind) == []
    assert not stream.machine.inline.active
    assert [end.result for end in of(stream, AuthEnded) if isinstance(end, AuthEnded)] == ["not-authorized"]
    # the next attempt succeeds, and what the first one wanted is forgotten
    assert "<success" in proved(stream)


def test_scram_says_its_last_word_in_success() -> None:
    stream = opened()
    first = b64encode(b"n,,n=a,r=abc").decode()
    stream.feed(authenticate(mechanism="SCRAM-SHA-256", initial=first))
    written = stream.take(stream.machine.authentication.credentials(KEYS))
    assert written.startswith(f"<challenge xmlns='{SASL2}'>")
    # a response of the other profile ends the stream
    stream.feed("<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>YQ==</response>")
    assert [
        close.error.condition for close in of(stream, Close) if isinstance(close, Close) and close.error
    ] == ["not-authorized"]


def test_without_an_initial_response_a_challenge_asks_for_it() -> None:
    stream = opened()
    assert stream.feed(authenticate(initial=None)) == f"<challenge xmlns='{SASL2}'/>"
    stream.feed(f"<response xmlns='{SASL2}'>{INITIAL}</response>")
    stream.take(stream.machine.authentication.credentials(KEYS))
    assert "<success" in stream.take(stream.machine.authentication.checked(True))


def test_abort_ends_the_exchange() -> None:
    stream = opened()
    stream.feed(authenticate(initial=None))
    assert f"<failure xmlns='{SASL2}'><aborted" in stream.feed(f"<abort xmlns='{SASL2}'/>")


def test_the_header_must_not_name_somebody_else() -> None:
    assert "<success" in proved(opened("a@example.org"))
    assert "<invalid-authzid" in proved(opened("b@example.org"))


@pytest.mark.parametrize(
    "twice",
    [
        "<initial-response>YQ==</initial-response>",
        RESUME + RESUME,
        BIND.format("") * 2,
        BIND.format("<tag>x</tag>"),
        BIND.format("<active xmlns='urn:xmpp:csi:0'/><inactive xmlns='urn:xmpp:csi:0'/>"),
    ],
)
def test_what_stands_there_twice_is_a_mistake(twice: str) -> None:
    stream = opened()
    stream.feed(authenticate(twice))
    assert [
        close.error.condition for close in of(stream, Close) if isinstance(close, Close) and close.error
    ] == ["bad-format"]


def test_what_was_not_offered_is_ignored() -> None:
    stream = opened()
    assert "<success" in proved(stream, str(Element("urn:example:x", "later").encode("").decode()))
