"""RFC 6121 section 8.5, row by row."""

from __future__ import annotations

import pytest

from rookery.router.rules import (
    IQS,
    MESSAGES,
    MISS,
    NORMAL,
    PRESENCES,
    ROWS,
    Action,
    Case,
    Row,
    compile_rows,
)

#: Table 1 of section 8.5.4. A all non-negative, D the named resource, M most available, O store offline, E error, S silence, R error where
#: the RFC lets us choose between silence and an error.
TABLE = """
case          normal chat groupchat headline error
UNKNOWN_BARE  R      R    E         S        S
UNKNOWN_FULL  R      R    R         S        S
NONE          O      O    E         S        S
NEGATIVE      O      O    E         S        S
SOME          M      M    E         A        S
MATCH         D      D    D         D        D
MISS_NONE     R      O    R         S        S
MISS_NEGATIVE R      O    R         S        S
MISS_SOME     R      M    R         S        S
"""
LETTERS = {
    "A": Action.EACH,
    "D": Action.DELIVER,
    "M": Action.BEST,
    "O": Action.STORE,
    "E": Action.ERROR,
    "R": Action.ERROR,
    "S": Action.IGNORE,
}
LINES = [line.split() for line in TABLE.strip().splitlines()]
CELLS = [
    (type, line[0], letter) for line in LINES[1:] for type, letter in zip(LINES[0][1:], line[1:], strict=True)
]


@pytest.mark.parametrize(("type", "case", "letter"), CELLS)
def test_message_delivery_table(type: str, case: str, letter: str) -> None:
    assert MESSAGES[type][Case[case]] is LETTERS[letter]


@pytest.mark.parametrize("case", Case)
def test_every_message_type_has_a_cell_in_the_table(case: Case) -> None:
    assert {type for type, name, _ in CELLS if name == case.name} == set(MESSAGES)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.kind}-{row.section}-{row.action.name}")
def test_each_row_cites_its_section_and_is_compiled(row: Row) -> None:
    assert row.section.startswith(("8.5", "4.3.2"))
    tables = {"message": MESSAGES, "presence": PRESENCES, "iq": IQS}
    for type in row.types:
        for case in row.cases:
            assert tables[row.kind][type][case] is row.action


def test_an_unknown_type_is_normal() -> None:
    assert MESSAGES.get("surprise", NORMAL) is MESSAGES["normal"]


@pytest.mark.parametrize("type", ["subscribe", "subscribed", "unsubscribe", "unsubscribed"])
def test_subscription_presence_goes_to_the_roster_of_any_account_that_exists(type: str) -> None:
    for case in Case:
        unknown = case in (Case.UNKNOWN_BARE, Case.UNKNOWN_FULL)
        assert PRESENCES[type][case] is (Action.IGNORE if unknown else Action.SUBSCRIPTION)


@pytest.mark.parametrize("type", ["result", "error"])
def test_an_answer_is_never_answered(type: str) -> None:
    assert Action.ERROR not in IQS[type]
    assert Action.ANSWER not in IQS[type]


@pytest.mark.parametrize("type", ["get", "set"])
def test_a_request_never_vanishes(type: str) -> None:
    assert Action.IGNORE not in IQS[type]


def test_error_messages_are_never_answered_nor_stored() -> None:
    assert {Action.ERROR, Action.STORE}.isdisjoint(MESSAGES["error"])


def test_presence_is_never_answered_with_an_error() -> None:
    for type in PRESENCES:
        assert Action.ERROR not in PRESENCES[type]


def test_a_table_with_two_rows_for_a_cell_is_refused() -> None:
    clash = Row("message", ("chat",), (Case.NONE,), Action.IGNORE, "8.5")
    with pytest.raises(ValueError, match="two rows"):
        compile_rows((*ROWS, clash), "message")


def test_a_table_with_a_hole_is_refused() -> None:
    with pytest.raises(ValueError, match="no row"):
        compile_rows(tuple(row for row in ROWS if row.action is not Action.STORE), "message")


def test_each_bare_case_has_a_full_one() -> None:
    assert set(MISS) == {Case.NONE, Case.NEGATIVE, Case.SOME}
