"""Occupants from other servers that are silent: asked, and taken out when they are gone."""

from __future__ import annotations

import pytest

from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.muc.absent import AT_ONCE, TRIES, Absent, Answer, is_answer, question

ROOM = "room@conference.example.org"
CAROL, DAVE = "carol@far.example/r", "dave@far.example/r"
SILENCE = 600.0


def error(condition: str, text: str = "") -> Stanza:
    return question(ROOM, CAROL).error(StanzaError(condition, text or None))


def silent(*names: str) -> Absent:
    """They came in at 0 and have said nothing since."""
    absent = Absent()
    assert absent.look(names, 0.0, SILENCE) == ([], [])
    return absent


def test_who_is_silent_for_long_is_asked() -> None:
    absent = silent(CAROL, DAVE)
    absent.came(DAVE, 300.0)
    assert absent.look((CAROL, DAVE), 599.0, SILENCE) == ([], [])
    assert absent.look((CAROL, DAVE), 600.0, SILENCE) == ([CAROL], [])
    asked = question(ROOM, CAROL)
    assert (asked.to, asked.from_, asked.type) == (CAROL, ROOM, "get")
    assert asked.payloads == (("http://jabber.org/protocol/disco#info", "query"),)


@pytest.mark.parametrize(
    ("condition", "answer"),
    [
        ("service-unavailable", Answer.GONE),  # RFC 6121 section 8.5.3.2.3: no such resource
        ("item-not-found", Answer.GONE),
        ("recipient-unavailable", Answer.GONE),
        ("gone", Answer.GONE),
        ("redirect", Answer.GONE),
        ("jid-malformed", Answer.GONE),
        ("remote-server-timeout", Answer.UNKNOWN),
        ("remote-server-not-found", Answer.UNKNOWN),
        ("resource-constraint", Answer.UNKNOWN),
        ("feature-not-implemented", Answer.ALIVE),  # somebody has answered
        ("forbidden", Answer.ALIVE),
    ],
)
def test_what_answers_mean(condition: str, answer: Answer) -> None:
    absent = silent(CAROL)
    absent.look((CAROL,), 600.0, SILENCE)
    assert absent.answered(error(condition, "why"), 601.0) is answer


def test_a_result_is_a_sign_of_life_and_so_is_anything_else() -> None:
    for stanza in (
        question(ROOM, CAROL).result(),
        Stanza.build("message", type="groupchat", from_=CAROL, to=ROOM),
        error("service-unavailable").replace(id="another"),
    ):
        absent = silent(CAROL)
        absent.look((CAROL,), 600.0, SILENCE)
        assert absent.answered(stanza, 601.0) is Answer.ALIVE
        assert absent.look((CAROL,), 1200.0, SILENCE) == ([], [])
        assert absent.look((CAROL,), 1201.0, SILENCE) == ([CAROL], [])


def test_a_server_that_cannot_be_reached_takes_its_users_out_after_some_tries() -> None:
    absent = silent(CAROL)
    for minute in range(TRIES):
        assert absent.look((CAROL,), 600.0 + 60 * minute, SILENCE) == ([CAROL], [])
        if minute % 2:
            assert absent.answered(error("remote-server-timeout"), 630.0 + 60 * minute) is Answer.UNKNOWN
    assert absent.look((CAROL,), 900.0, SILENCE) == ([], [CAROL])


def test_who_is_in_doubt_is_asked_at_once() -> None:
    absent = silent(CAROL)
    absent.doubt(CAROL)
    assert absent.urgent() == [CAROL]
    assert absent.urgent() == []
    assert absent.look((CAROL,), 60.0, SILENCE) == ([CAROL], []), "and until it answers"


def test_a_word_ends_the_doubt() -> None:
    absent = silent(CAROL)
    absent.doubt(CAROL)
    absent.came(CAROL, 10.0)
    assert absent.urgent() == []
    assert absent.look((CAROL,), 60.0, SILENCE) == ([], [])


def test_of_a_domain_that_one_is_asked_that_was_silent_for_longest() -> None:
    absent = silent(CAROL, DAVE)
    absent.came(CAROL, 10.0)
    assert absent.longest((CAROL, DAVE), 20.0) == DAVE
    absent.came(DAVE, 21.0)
    assert absent.longest((CAROL, DAVE), 30.0) == CAROL


def test_who_has_left_is_forgotten_and_a_new_stay_begins_anew() -> None:
    absent = silent(CAROL)
    absent.look((CAROL,), 600.0, SILENCE)
    absent.look((), 660.0, SILENCE)
    assert absent.heard == {}
    assert absent.look((CAROL,), 720.0, SILENCE) == ([], [])
    assert absent.look((CAROL,), 1319.0, SILENCE) == ([], [])


def test_many_are_asked_a_part_at_a_time() -> None:
    names = [f"user{number}@far.example/r" for number in range(AT_ONCE + 5)]
    absent = silent(*names)
    first = absent.look(names, 600.0, SILENCE).asked
    assert len(first) == AT_ONCE
    for name in first:
        absent.came(name, 601.0)
    assert absent.look(names, 660.0, SILENCE).asked == names[AT_ONCE:]


def test_only_answers_to_the_question_are_answers() -> None:
    assert is_answer(error("gone"))
    assert not is_answer(question(ROOM, CAROL))
    assert not is_answer(Stanza.build("message", type="error", id=question(ROOM, CAROL).id))
