"""XEP-0198: what goes over the wire, by section. The machines are tested in tests/unit, the whole in tests/stories and tests/cluster."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rookery.shared.xeps import stream_management as sm
from rookery.shared.xmpp.errors import STANZA_CONDITIONS, StanzaError
from rookery.shared.xmpp.parse import parse_element
from rookery.shared.xmpp.xml import Element

NS = "urn:xmpp:sm:3"
STANZAS = "urn:ietf:params:xml:ns:xmpp-stanzas"
TOP = 2**32
TOKEN = bytes(range(24))
ID = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"


#: section, what we say, how it looks
WORDS = [
    ("2", sm.feature(), f"<sm xmlns='{NS}'/>"),
    # a server that does not let a stream be resumed leaves the attributes out (sections 3, 9.1)
    ("3", sm.enabled(b"", 600), f"<enabled xmlns='{NS}'/>"),
    ("4", sm.answer(0), f"<a xmlns='{NS}' h='0'/>"),
    ("4", sm.answer(7), f"<a xmlns='{NS}' h='7'/>"),
    ("4", sm.answer(TOP - 1), f"<a xmlns='{NS}' h='4294967295'/>"),
    ("4", sm.answer(TOP), f"<a xmlns='{NS}' h='0'/>"),
    ("4", sm.answer(TOP + 1), f"<a xmlns='{NS}' h='1'/>"),
    # resume and id are a MUST
    ("5", sm.enabled(TOKEN, 600), f"<enabled xmlns='{NS}' id='{ID}' resume='true' max='600'/>"),
    # previd and h are a MUST
    ("5", sm.resumed(TOKEN, 0), f"<resumed xmlns='{NS}' previd='{ID}' h='0'/>"),
    ("5", sm.resumed(TOKEN, TOP + 2), f"<resumed xmlns='{NS}' previd='{ID}' h='2'/>"),
    # nothing is known of it; it has timed out (MAY say h)
    ("5", sm.failed("item-not-found"), f"<failed xmlns='{NS}'><item-not-found xmlns='{STANZAS}'/></failed>"),
    ("5", sm.failed("item-not-found", 0), f"<failed xmlns='{NS}' h='0'><item-not-found xmlns='{STANZAS}'/></failed>"),
    ("5", sm.failed("item-not-found", TOP + 3), f"<failed xmlns='{NS}' h='3'><item-not-found xmlns='{STANZAS}'/></failed>"),
    (
        "6",
        sm.failed("bad-request", text="h < 1"),
        f"<failed xmlns='{NS}'><bad-request xmlns='{STANZAS}'/><text xmlns='{STANZAS}' xml:lang='en'>h &lt; 1</text></failed>",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("section", "element", "text"), WORDS)
def test_what_we_say(section: str, element: Element, text: str) -> None:
    assert element.xml("") == text
    assert parse_element(text.encode()) == element


@pytest.mark.parametrize(
    "condition", ["unexpected-request", "item-not-found", "bad-request", "internal-server-error"]
)
def test_the_condition_of_a_failure_is_one_of_stanzas(condition: str) -> None:
    """Section 6: MUST."""
    assert condition in STANZA_CONDITIONS
    (child,) = sm.failed(condition).elements()
    assert (child.ns, child.name) == (STANZAS, condition)


def test_acknowledging_too_much_is_a_stream_error_that_says_how_much_was_sent() -> None:
    """Section 6, with the words of its example."""
    error = sm.too_high(10, 8)
    assert error.condition == "undefined-condition"
    assert error.app == f"<handled-count-too-high xmlns='{NS}' h='10' send-count='8'/>"
    assert error.text == "You acknowledged 10 stanzas, but I only sent you 8 so far."
    assert sm.too_high(5, TOP + 4).app == f"<handled-count-too-high xmlns='{NS}' h='5' send-count='4'/>"


# --- what a client says -----------------------------------------------------------------------------------------------

NO_NUMBERS = [
    None, "", "-1", "+1", "1e3", "１", "٣", "²", "0x1", "1_0", " 1", "1 ", "1\n", "1.0", "4294967296", "99999999999",
]  # fmt: skip


@pytest.mark.parametrize("text", NO_NUMBERS)
def test_h_is_an_unsigned_int_and_nothing_else(text: str | None) -> None:
    """Section 4: an `<a/>` MUST have it; section 11: xs:unsignedInt."""
    with pytest.raises(ValueError, match=r"number|2\^32"):
        sm.parse_number(text)


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("7", 7), ("007", 7), ("4294967295", TOP - 1)])
def test_what_is_a_number(text: str, number: int) -> None:
    assert sm.parse_number(text) == number


#: section, attributes of <enable/>, whether it wants resumption and its max, None for bad-request
ENABLE: list[tuple[str, dict[str, str], bool | None, int | None]] = [
    ("3: resume defaults to false", {}, False, 0),
    ("3", {"resume": "false"}, False, 0),
    ("3", {"resume": "0"}, False, 0),
    ("5", {"resume": "true"}, True, 0),
    ("5", {"resume": "1"}, True, 0),
    ("5", {"resume": "yes"}, None, 0),
    ("5", {"resume": "TRUE"}, None, 0),
    ("5", {"resume": " true"}, None, 0),
    ("3: a client MAY ask for a time", {"resume": "true", "max": "60"}, True, 60),
    ("3", {"max": "0"}, False, 0),
    ("3", {"resume": "true", "max": "-1"}, True, None),
    ("3", {"resume": "true", "max": ""}, True, None),
    ("3", {"resume": "true", "max": "4294967296"}, True, 2**32 - 1),
    ("3: longer than any stream lives", {"resume": "true", "max": "99999999999999999999"}, True, 2**32 - 1),
    ("3", {"resume": "true", "max": "６０"}, True, None),
]


@pytest.mark.parametrize(("section", "attrs", "resume", "seconds"), ENABLE)
def test_what_an_enable_wants(
    section: str, attrs: dict[str, str], resume: bool | None, seconds: int | None
) -> None:
    element = Element(NS, "enable", attrs)
    for read, wanted in ((sm.wants_resumption, resume), (sm.wanted_seconds, seconds)):
        if wanted is None:
            with pytest.raises(StanzaError) as caught:
                read(element)
            assert caught.value.condition == "bad-request"
        else:
            assert read(element) == wanted


# --- SM-IDs (section 5) -----------------------------------------------------------------------------------------------


@given(st.binary(max_size=40))
def test_an_id_is_read_as_it_was_written(token: bytes) -> None:
    text = sm.write_token(token)
    assert sm.read_token(text) == token
    assert len(text) < 4000
    assert Element(NS, "x", {"id": text}).xml("") == f"<x xmlns='{NS}' id='{text}'/>"


@given(st.text(max_size=200))
def test_no_two_texts_are_one_id(text: str) -> None:
    token = sm.read_token(text)
    assert token == b"" or sm.write_token(token) == text


@pytest.mark.parametrize(
    "text",
    [None, "", ID + "=", ID + " ", ID[:-1] + "ä", "A", "AB", "A" * 129, "A" * 5000, "+/+/", "%00", "../.."],
)
def test_what_is_no_id_of_ours(text: str | None) -> None:
    assert sm.read_token(text) == b""


# --- what a client acknowledges (section 4) ---------------------------------------------------------------------------


@given(total=st.integers(0, 2**34), more=st.integers(0, 5000), ahead=st.integers(0, 5000))
def test_an_acknowledgement_within_what_was_sent_counts(total: int, more: int, ahead: int) -> None:
    sent = total + more
    count = sm.advance(total, sent, (total + ahead) % TOP)
    if ahead <= more:
        assert count == total + ahead
    else:
        assert count is None


@given(total=st.integers(0, 2**34), more=st.integers(0, 5000), behind=st.integers(1, 5000))
def test_an_old_acknowledgement_changes_nothing(total: int, more: int, behind: int) -> None:
    count = sm.advance(total, total + more, (total - behind) % TOP)
    assert count == (total if behind <= total else None)


@pytest.mark.parametrize(
    ("total", "sent", "h", "expected"),
    [
        (0, 0, 0, 0),
        (0, 0, 1, None),
        (5, 8, 10, None),
        (0, 8, TOP - 1, None),
        # it SHALL go from 2^32 - 1 to zero
        (TOP - 2, TOP + 3, TOP - 1, TOP - 1),
        (TOP - 2, TOP + 3, 0, TOP),
        (TOP - 2, TOP + 3, 3, TOP + 3),
        (TOP - 2, TOP + 3, 4, None),
        (TOP + 3, TOP + 3, TOP - 1, TOP + 3),
    ],
)
def test_numbers_wrap(total: int, sent: int, h: int, expected: int | None) -> None:
    assert sm.advance(total, sent, h) == expected


# --- uids of what may be sent again -----------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.text(max_size=3), st.binary(max_size=8)), min_size=2, max_size=20))
def test_uids_grow_with_the_number_whatever_the_content(contents: list[tuple[str, bytes]]) -> None:
    numbers = [sm.uid_number(n, "b@x", id_, inner) for n, (id_, inner) in enumerate(contents, 1)]
    assert numbers == sorted(set(numbers))
    assert max(numbers) < 2**63  # a column of the database


def test_a_repetition_has_the_uid_of_its_original_also_with_a_delay_stamp() -> None:
    """Section 4: clients SHOULD add a stamp to what they send again."""
    inner = b"<body>hi</body>"
    stamp = b"<delay xmlns='urn:xmpp:delay' from='a@x' stamp='2026-01-01T00:00:00Z'/>"
    longer = b"<delay xmlns='urn:xmpp:delay' stamp='2026-01-01T00:00:00Z'>sent again</delay>"
    first = sm.uid_number(7, "b@x", "m1", inner)
    assert sm.uid_number(7, "b@x", "m1", inner + stamp) == first
    assert sm.uid_number(7, "b@x", "m1", longer + inner) == first
    for other in (("b@x", "m2", inner), ("c@x", "m1", inner), ("b@x", "m1", b"<body>ho</body>")):
        assert sm.uid_number(7, *other) != first
