"""Roster sets, results, pushes and versions (RFC 6121 section 2)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.parse import parse_element
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.roster.roster import (
    MAX_GROUPS,
    MAX_NAME,
    Edit,
    Item,
    parse_set,
    parse_version,
    push,
    result,
    version,
)
from rookery.workers.roster.subscription import BOTH, FROM_OUT, NONE, State

ACCOUNT = "juliet@example.com"


def parse(items: str) -> Edit:
    return parse_set(parse_element(f"<query xmlns='jabber:iq:roster'>{items}</query>".encode()), ACCOUNT)


def test_an_item_is_read() -> None:
    edit = parse(
        "<item jid='Nurse@Example.com' name='Nurse'><group>Servants</group><group>Home</group></item>"
    )
    assert edit == Edit("nurse@example.com", "Nurse", ("Servants", "Home"), False)


def test_a_full_jid_names_the_contact() -> None:
    assert parse("<item jid='nurse@example.com/desk'/>").contact == "nurse@example.com"


def test_removal() -> None:
    """Section 2.5.1."""
    assert parse("<item jid='nurse@example.com' subscription='remove'/>").remove


def test_what_only_the_server_may_say_is_ignored() -> None:
    """Sections 2.1.2.1, 2.1.2.2 and 2.1.2.5."""
    edit = parse("<item jid='nurse@example.com' subscription='both' ask='subscribe' approved='true'/>")
    assert edit == Edit("nurse@example.com", "", (), False)


@pytest.mark.parametrize(
    ("items", "condition"),
    [
        ("", "bad-request"),  # section 2.1.5: exactly one item
        ("<item jid='a@b'/><item jid='c@d'/>", "bad-request"),
        ("<item jid='a@b'/><x xmlns='urn:x'/>", "bad-request"),
        ("<item/>", "jid-malformed"),
        ("<item jid='@b'/>", "jid-malformed"),
        ("<item jid='juliet@example.com'/>", "not-allowed"),
        ("<item jid='a@b'><group>x</group><group>x</group></item>", "bad-request"),  # section 2.3.3
        ("<item jid='a@b'><group/></item>", "not-acceptable"),
        (f"<item jid='a@b'><group>{'x' * (MAX_NAME + 1)}</group></item>", "not-acceptable"),
        (f"<item jid='a@b' name='{'é' * (MAX_NAME // 2 + 1)}'/>", "not-acceptable"),
        (
            "<item jid='a@b'>" + "".join(f"<group>{n}</group>" for n in range(MAX_GROUPS + 1)) + "</item>",
            "not-acceptable",
        ),
    ],
)
def test_a_bad_set_is_refused_by_name(items: str, condition: str) -> None:
    with pytest.raises(StanzaError) as caught:
        parse(items)
    assert caught.value.condition == condition


def test_an_item_shows_its_state() -> None:
    item = Item("a@b", "A", ("x",), FROM_OUT._replace(approved=True))
    assert item.element().xml("jabber:iq:roster") == (
        "<item jid='a@b' subscription='from' name='A' ask='subscribe' approved='true'><group>x</group></item>"
    )


def test_a_request_of_the_contact_is_never_shown() -> None:
    """Section 3.1.3."""
    assert Item("a@b", state=State(in_=True)).element().attrs == {"jid": "a@b", "subscription": "none"}


def test_a_result_has_the_listed_items_and_a_version() -> None:
    iq = Stanza.build("iq", type="get", from_="juliet@example.com/b", id="1")
    items = [Item("a@b", state=BOTH), Item("c@d", listed=False)]
    assert result(iq, items, "7-3").inner == (
        b"<query xmlns='jabber:iq:roster' ver='7-3'><item jid='a@b' subscription='both'/></query>"
    )


def test_a_push_of_a_removed_item() -> None:
    """Section 2.5.2."""
    stanza = push(Item("c@d", state=NONE, listed=False, ver=9), 7)
    assert stanza.type == "set"
    assert stanza.inner == (
        b"<query xmlns='jabber:iq:roster' ver='7-9'><item jid='c@d' subscription='remove'/></query>"
    )


@given(st.integers(1, 2**63 - 1), st.integers(0, 10**17))
def test_a_version_comes_back(account_id: int, number: int) -> None:
    assert parse_version(version(account_id, number), account_id) == number
    assert parse_version(version(account_id, number), account_id + 1) is None


@pytest.mark.parametrize(
    "text", ["", "7", "7-", "-3", "7-3-1", "7-+3", "7-３", "7-1_0", "x-3", "7-" + "9" * 40]
)
def test_a_version_of_nobody_is_not_believed(text: str) -> None:
    assert parse_version(text, 7) is None


@given(st.text())
def test_any_version_is_read_without_a_fault(text: str) -> None:
    parse_version(text, 7)
