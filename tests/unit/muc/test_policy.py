"""What a service of rooms allows whom."""

from __future__ import annotations

import pytest

from rookery.shared.cluster.domains import DomainRow, bans_of
from rookery.shared.config import Config
from rookery.workers.muc.policy import Policy

ROOMS = "conference.example"


def policy(row: DomainRow) -> Policy:
    made = Policy(Config(), lambda bare: bare.endswith("@example"))
    made.learn([row])
    return made


@pytest.mark.parametrize(
    ("who", "why"),
    [
        ("mallory@example", "spam"),
        ("anybody@bad.example", ""),
        ("good@bad.example", None),  # an admin of the service
        ("alice@example", None),
        ("alice@very.bad.example", None),
    ],
)
def test_who_is_banned_from_a_service(who: str, why: str | None) -> None:
    bans = {"mallory@example": "spam", "bad.example": "", "good@bad.example": "no"}
    found = policy(DomainRow(ROOMS, "rooms", bans=bans, admins=("good@bad.example",)))
    assert found.banned(ROOMS, who) == why
    assert found.banned("other.example", who) is None
    assert found.bans(ROOMS)
    assert not found.bans("other.example")


def test_who_is_told_when_bans_change() -> None:
    found = policy(DomainRow(ROOMS, "rooms"))
    told: list[int] = []
    found.on_bans = lambda: told.append(1)
    found.learn([DomainRow(ROOMS, "rooms", bans={"mallory@example": ""})])
    assert told == [1]


@pytest.mark.parametrize(
    ("said", "bans"),
    [({}, {}), ({"bans": None}, {}), ({"bans": ["x"]}, {}), ({"bans": {"x@y": 1}}, {"x@y": "1"})],
)
def test_bans_that_cannot_be_read_ban_nobody(said: dict[str, object], bans: dict[str, str]) -> None:
    assert bans_of(said) == bans


@pytest.mark.parametrize(
    ("creation", "local", "stranger"), [("", True, False), ("anybody", True, True), ("admins", False, False)]
)
def test_who_makes_rooms(creation: str, local: bool, stranger: bool) -> None:
    found = policy(DomainRow(ROOMS, "rooms", creation=creation))
    assert found.may_create(ROOMS, "alice@example") is local
    assert found.may_create(ROOMS, "alice@far.example") is stranger


def test_who_is_on_a_list_of_senders() -> None:
    found = policy(DomainRow(ROOMS, "rooms", admins=("good@bad.example",)))
    assert not found.listed(ROOMS, "mallory@bad.example")
    assert not found.bans(ROOMS)
    found.lists = lambda bare: bare.endswith("@bad.example")
    assert found.listed(ROOMS, "mallory@bad.example")
    assert not found.listed(ROOMS, "good@bad.example")
    assert found.bans(ROOMS)
    assert found.banned(ROOMS, "mallory@bad.example") is None
