"""The rules for migration files, and what a process decides about a schema."""

from __future__ import annotations

import pytest

from rookery.shared.db.migrate import Applied, SchemaError, compare, judge, load, parse

ONE = parse("0001_base.sql", "CREATE TABLE a ();")
TWO = parse("0002_more.sql", "CREATE TABLE b ();")
KNOWN = [ONE, TWO]


def applied(number: int, name: str = "x", checksum: bytes = b"", *, contract: bool = False) -> Applied:
    return Applied(
        number, name, checksum or next((m.checksum for m in KNOWN if m.number == number), b"?"), contract
    )


def test_the_shipped_files_follow_the_rules() -> None:
    shipped = load()
    assert [one.number for one in shipped] == list(range(1, len(shipped) + 1))
    assert shipped[0].name == "base"


@pytest.mark.parametrize("name", ["1_base.sql", "0001-base.sql", "0001_Base.sql", "0001_base.sql.bak"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="NNNN_name"):
        parse(name, "")


def test_marks_count_only_at_the_top() -> None:
    marked = parse(
        "0003_x.sql", "-- contract\n-- no-transaction\n\n-- why\nDROP INDEX CONCURRENTLY IF EXISTS i;\n"
    )
    assert (marked.contract, marked.transaction) == (True, False)
    plain = parse("0003_x.sql", "CREATE TABLE c ();\n-- contract\n-- no-transaction\n")
    assert (plain.contract, plain.transaction) == (False, True)


def test_several_statements_need_a_transaction() -> None:
    with pytest.raises(ValueError, match="one statement"):
        parse("0003_x.sql", "-- no-transaction\nSELECT 1;\nSELECT 2;")


def test_current_and_newer_by_addition_are_fine() -> None:
    judge(compare([applied(1), applied(2)], KNOWN), KNOWN)
    judge(compare([applied(1), applied(2), applied(3)], KNOWN), KNOWN)


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([], "at migration 0000, this version needs 0002"),
        ([applied(1)], "at migration 0001, this version needs 0002"),
        ([applied(2)], "needs 0002"),
        ([applied(1), applied(2), applied(3, "gone", contract=True)], "too new: migration 0003_gone"),
    ],
)
def test_what_does_not_go_together_is_refused(rows: list[Applied], text: str) -> None:
    with pytest.raises(SchemaError, match=text):
        judge(compare(rows, KNOWN), KNOWN)


def test_a_changed_file_is_refused() -> None:
    with pytest.raises(SchemaError, match="0001_base"):
        compare([applied(1, "base", b"other")], KNOWN)
