"""XEP-0377: what is read of a report, and what is none."""

from __future__ import annotations

import pytest

from rookery.shared.xeps.spam_reporting import MAX_TEXT, NS, SPAM, Options, Report, forwarded, goes_on, read
from rookery.shared.xmpp import ns
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.parse import parse_element
from rookery.shared.xmpp.xml import Element


def of(inside: str) -> Report | None:
    return read(parse_element(f"<item xmlns='urn:xmpp:blocking' jid='a@b'>{inside}</item>".encode()))


def test_a_whole_report() -> None:
    inside = (
        f"<report xmlns='{NS}' reason='{SPAM}'><text xml:lang='en'> Never came trouble. </text>"
        "<stanza-id xmlns='urn:xmpp:sid:0' by='a@b' id='1'/><stanza-id xmlns='urn:xmpp:sid:0' by='a@b' id='2'/>"
        "<report-origin/></report>"
    )
    assert of(inside) == Report(SPAM, "Never came trouble.", (("a@b", "1"), ("a@b", "2")), ("report-origin",))


def test_a_block_without_one() -> None:
    assert of("") is None


def test_a_long_text_is_cut() -> None:
    found = of(f"<report xmlns='{NS}' reason='{SPAM}'><text>{'x' * 5000}</text></report>")
    assert found is not None
    assert len(found.text) == MAX_TEXT


@pytest.mark.parametrize(
    ("inside", "condition"),
    [
        (f"<report xmlns='{NS}'/>", "bad-request"),
        (f"<report xmlns='{NS}' reason=''/>", "bad-request"),
        (f"<report xmlns='{NS}' reason='{'x' * 300}'/>", "bad-request"),
        (
            f"<report xmlns='{NS}' reason='{SPAM}'>{'<stanza-id xmlns=&quot;urn:xmpp:sid:0&quot;/>' * 51}</report>".replace(
                "&quot;", '"'
            ),
            "policy-violation",
        ),
    ],
)
def test_what_is_refused(inside: str, condition: str) -> None:
    with pytest.raises(StanzaError) as refused:
        of(inside)
    assert refused.value.condition == condition


REPORT = Report(SPAM, "buy <now>", (("alice@one.org", "7"),), ())


def test_a_report_that_is_sent_on_names_its_reporter_here_only() -> None:
    told = forwarded("abuse@one.org", "alice@one.org", "eve@evil.example/x", REPORT, here=True)
    assert (told.from_, told.to, told.type) == ("one.org", "abuse@one.org", "normal")
    body = told.find(ns.CLIENT, "body")
    assert body is not None
    assert body.text == "eve@evil.example/x: spam\nreported by alice@one.org\nbuy <now>"
    said = told.find(NS, "report")
    assert said is not None
    assert read(Element("urn:xmpp:blocking", "item", None, said)) == REPORT
    abroad = forwarded("abuse@elsewhere.example", "alice@one.org", "eve@evil.example/x", REPORT, here=False)
    assert b"alice" not in abroad.inner
    assert b"eve@evil.example/x" in abroad.inner


@pytest.mark.parametrize(
    ("to", "agreed", "here", "goes"),
    [
        ("", ("third-party",), True, False),
        ("abuse@one.org", (), True, True),
        ("abuse@elsewhere.example", (), False, False),
        ("abuse@elsewhere.example", ("report-origin",), False, False),
        ("abuse@elsewhere.example", ("third-party",), False, True),
    ],
)
def test_where_a_report_is_sent_on(to: str, agreed: tuple[str, ...], here: bool, goes: bool) -> None:
    assert goes_on(Options(forward_to=to), REPORT._replace(forward=agreed), here=here) is goes
