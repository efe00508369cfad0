"""Contact addresses as they are written on the command line."""

from __future__ import annotations

import click
import pytest

from rookery.cli.domain_set import line, parse_admins, parse_contacts
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


def test_a_domain_is_one_line() -> None:
    assert line(Policy("x.org", "accounts", False, "", {})) == "x.org  registration closed"
    policy = Policy(
        "x.org", "accounts", True, "relaxed", {"abuse-addresses": ["mailto:a@x.org", "xmpp:a@x.org"]}
    )
    assert line(Policy("rooms.x.org", "rooms", False, "", {})) == "rooms.x.org  rooms"
    assert line(policy) == (
        "x.org  registration open  durability relaxed  abuse-addresses mailto:a@x.org, xmpp:a@x.org"
    )


def test_admins_of_rooms() -> None:
    assert parse_admins("Alice@localhost, bob@localhost,alice@localhost") == (
        "alice@localhost",
        "bob@localhost",
    )
    assert parse_admins("") == ()
    for wrong in ("localhost", "a@localhost/phone", "a@@b"):
        with pytest.raises(click.BadParameter):
            parse_admins(wrong)
