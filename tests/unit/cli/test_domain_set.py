"""Contact addresses as they are written on the command line."""

from __future__ import annotations

import click
import pytest

from rookery.admin.errors import Invalid
from rookery.admin.speaking import federation
from rookery.cli.domain_set import line, parse_captcha, parse_contacts
from rookery.workers.account.policies import Policy


def test_contacts_by_role() -> None:
    given = [
        "abuse=mailto:abuse@x.org, xmpp:a@x.org",
        "admin=https://x.org/admin",
        "abuse=mailto:b@x.org",
        "sales=",
    ]
    assert parse_contacts(given) == {
        "abuse-addresses": ["mailto:abuse@x.org", "xmpp:a@x.org", "mailto:b@x.org"],
        "admin-addresses": ["https://x.org/admin"],
        "sales-addresses": [],
    }


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("abuse", "write ROLE=URI"),
        ("boss=mailto:a@b", "write ROLE=URI"),
        ("abuse=a@b", "begin with mailto:"),
        ("abuse=mailto:nobody", "a mail address is written as"),
        ("abuse=mailto:", "has no address"),
        ("abuse=xmpp:a@@b", "xmpp:a@@b"),
    ],
)
def test_mistakes_in_contacts(text: str, part: str) -> None:
    with pytest.raises(click.BadParameter) as caught:
        parse_contacts([text])
    assert part in caught.value.message


@pytest.mark.parametrize(
    ("mode", "allow", "block", "said"),
    [
        (None, None, None, None),
        ("default", None, None, {}),
        ("closed", None, None, {"mode": "closed"}),
        ("listed", ["Good.Example", "*.Ü.example"], [], {"mode": "listed", "allow": ["good.example", "*.ü.example"], "block": []}),
        (None, None, ["bad.example", "bad.example"], {"block": ["bad.example"]}),
    ],
)  # fmt: skip
def test_whom_a_domain_speaks_with(
    mode: str | None, allow: list[str] | None, block: list[str] | None, said: dict[str, object] | None
) -> None:
    assert federation(mode, allow, block) == said


@pytest.mark.parametrize(
    ("mode", "allow"),
    [
        ("default", ["x.example"]),
        ("sometimes", None),
        ("open", ["a@b"]),
        ("listed", ["*"]),
        ("listed", ["*."]),
    ],
)
def test_mistakes_in_whom_a_domain_speaks_with(mode: str, allow: list[str] | None) -> None:
    with pytest.raises(Invalid):
        federation(mode, allow, None)


def test_a_domain_is_one_line() -> None:
    assert line(Policy("x.org", "accounts", False, "", {})) == "x.org  registration closed"
    policy = Policy(
        "x.org", "accounts", True, "relaxed", {"abuse-addresses": ["mailto:a@x.org", "xmpp:a@x.org"]}
    )
    assert line(Policy("rooms.x.org", "rooms", False, "", {})) == "rooms.x.org  rooms"
    assert line(policy) == (
        "x.org  registration open  durability relaxed  abuse-addresses mailto:a@x.org, xmpp:a@x.org"
    )


def test_what_new_users_are_asked() -> None:
    assert parse_captcha(None, (), None) is None
    assert parse_captcha("off", (), None) == {}
    asks = parse_captcha("any", ("Which colour has the sky?=blue|azure",), 18)
    assert asks == {
        "kind": "any",
        "questions": [["Which colour has the sky?", ["blue", "azure"]]],
        "bits": 18,
    }
    said = line(Policy("x.org", "accounts", True, "", {}, captcha=asks))
    assert "new users are asked for 1 question or work of 18 bits" in said


@pytest.mark.parametrize(
    ("kind", "questions", "bits"),
    [
        (None, ("a=b",), None),
        (None, (), 20),
        ("question", (), None),
        ("work", ("a=b",), None),
        ("work", (), 99),
    ],
)
def test_puzzles_that_do_not_go_together(
    kind: str | None, questions: tuple[str, ...], bits: int | None
) -> None:
    with pytest.raises(click.UsageError):
        parse_captcha(kind, questions, bits)
