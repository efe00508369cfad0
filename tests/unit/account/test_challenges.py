"""Puzzles of registration: what goes together, what is an answer, and for how long (XEP-0158)."""

from __future__ import annotations

import hashlib

import pytest

from rookery.shared.xeps.captcha import Answer
from rookery.workers.account import challenges
from rookery.workers.account.challenges import Captcha, Puzzle, judge, make, settings, stored

SECRET, DOMAIN = b"s" * 32, "example.org"
ASKS = Captcha("any", (("Which colour has the sky?", ("blue", "azure")),), 10)


def solved(puzzle: Puzzle) -> str:
    """Work, done as a client does it (section 6.1)."""
    wanted = int(puzzle.label, 16)
    mask = (1 << wanted.bit_length()) - 1
    n = 0
    while int.from_bytes(hashlib.sha256(f"{DOMAIN}{n}".encode()).digest(), "big") & mask != wanted:
        n += 1
    return f"{DOMAIN}{n}"


def fresh(asks: Captcha = ASKS, now: float = 0.0, rest: bytes = b"0123456789") -> Puzzle:
    return make(SECRET, DOMAIN, asks, now, rest)


@pytest.mark.parametrize("said", ["blue", " Blue. ", "AZURE!", "\uff42\uff4c\uff55\uff45"])
def test_an_answer_is_compared_without_its_dress(said: str) -> None:
    assert judge([SECRET], DOMAIN, ASKS, Answer(fresh().id, said), 1.0) == ""


def test_work_is_an_answer_too() -> None:
    puzzle = fresh()
    assert len(f"{int(puzzle.label, 16):b}") == ASKS.bits
    work = solved(puzzle)
    assert judge([SECRET], DOMAIN, ASKS, Answer(puzzle.id, "", work), 1.0) == ""
    other = fresh(rest=b"9876543210")
    assert judge([SECRET], DOMAIN, ASKS, Answer(other.id, "", work), 1.0), "of another puzzle"
    # It says for whom it was done.
    assert judge([SECRET], DOMAIN, ASKS, Answer(puzzle.id, "", work.replace("example", "elsewhere")), 1.0)


@pytest.mark.parametrize(
    ("answer", "now", "problem"),
    [
        (Answer("", "blue"), 1.0, "ask for the form"),
        (Answer("!", "blue"), 1.0, "ask for the form"),
        (Answer("é" * 40, "blue"), 1.0, "ask for the form"),
        (Answer("A" * 200, "blue"), 1.0, "another one"),
        (Answer(fresh().id, "red"), 1.0, "not right"),
        (Answer(fresh().id, "", "example.org"), 1.0, "not right"),
        (Answer(fresh().id, "?!", ""), 1.0, "not right"),
        (Answer(fresh().id), 1.0, "not answered"),
        (Answer(fresh().id[:-2] + "AA", "blue"), 1.0, "another one"),
        (Answer(fresh().id, "blue"), challenges.SECONDS + 1.0, "too long"),
    ],
)
def test_what_is_no_answer(answer: Answer, now: float, problem: str) -> None:
    assert problem in judge([SECRET], DOMAIN, ASKS, answer, now)


def test_a_puzzle_is_of_its_domain_its_question_and_its_secret() -> None:
    answer = Answer(fresh().id, "blue")
    assert judge([b"n" * 32, SECRET], DOMAIN, ASKS, answer, 1.0) == "", "an older secret is good"
    assert judge([b"n" * 32], DOMAIN, ASKS, answer, 1.0)
    assert judge([SECRET], "elsewhere.example", ASKS, answer, 1.0)
    changed = ASKS._replace(questions=(("Which colour has grass?", ("blue",)),))
    assert judge([SECRET], DOMAIN, changed, answer, 1.0)
    # What the domain does not take any more is no answer: work alone, a question alone.
    work = ASKS._replace(kind="work")
    assert judge([SECRET], DOMAIN, work, Answer(fresh(work).id, "blue"), 1.0)
    assert fresh(work).question == ""
    assert fresh(ASKS._replace(kind="question")).label == ""


@pytest.mark.parametrize(
    ("kind", "questions", "bits", "problem"),
    [
        ("question", (), 20, "at least one question"),
        ("any", (), 20, "at least one question"),
        ("work", ("a?=b",), 20, "work has no questions"),
        ("off", ("a?=b",), 20, "asks nothing"),
        ("question", ("a?=b",), 22, "no bits"),
        ("work", (), 7, "8 to 32"),
        ("work", (), 33, "8 to 32"),
        ("any", ("a?",), 20, "no QUESTION"),
        ("any", ("=b",), 20, "no QUESTION"),
        ("any", ("a?=?|!",), 20, "no QUESTION"),
        ("any", ("a\nb?=b",), 20, "no QUESTION"),
        ("any", ("a?=b",) * 101, 20, "at most"),
        ("picture", (), 20, "none of"),
    ],
)
def test_what_does_not_go_together_is_told_in_one_line(
    kind: str, questions: tuple[str, ...], bits: int, problem: str
) -> None:
    with pytest.raises(ValueError, match=problem) as refused:
        settings(kind, questions, bits)
    assert "\n" not in str(refused.value)


def test_settings_are_kept_and_read() -> None:
    setting = settings("any", ("1+1=?=2|two",), 22)
    assert stored(setting) == Captcha("any", (("1+1=?", ("2", "two")),), 22)
    assert challenges.described(setting) == "1 question or work of 22 bits"
    assert stored(settings("off")) is None
    # What nobody understands lets nobody in.
    assert judge([SECRET], DOMAIN, stored({"kind": 3}) or ASKS, Answer(fresh().id, "blue"), 1.0)
