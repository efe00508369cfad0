"""XEP-0377: what is read of a report, and what is none."""

from __future__ import annotations

import pytest

from rookery.shared.xeps.spam_reporting import MAX_TEXT, NS, SPAM, Report, read
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.parse import parse_element


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
