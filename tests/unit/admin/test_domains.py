"""Domains as the HTTP API answers them."""

from __future__ import annotations

from rookery.admin.verbs.domains import Domain, PutDomain, shown
from rookery.workers.account.policies import Changes, Policy


def test_all_that_a_domain_may_be_set_to_is_answered() -> None:
    policy = Policy(
        "a.example",
        "rooms",
        True,
        durability="relaxed",
        contacts={"abuse-addresses": ("mailto:a@a.example",)},
        room_creation="admins",
        admins=("a@a.example",),
        auth={"type": "oidc"},
        motd="m",
        welcome="w",
        federation={"mode": "listed", "allow": ["b.example"]},
        archive_days=7,
        joining="approval",
        captcha={"kind": "work"},
    )
    assert set(policy.document()) == set(Domain.__struct_fields__)
    answer = shown(policy)
    assert (answer.archive_days, answer.joining, answer.durability) == (7, "approval", "relaxed")
    assert answer.federation is not None
    assert answer.federation.allow == ["b.example"]


def test_a_domain_of_which_nothing_is_said_is_answered() -> None:
    answer = shown(Policy("a.example", "accounts", False, "", {}))
    assert (answer.archive_days, answer.durability, answer.federation, answer.motd) == (None, None, None, "")


def test_all_that_can_be_changed_can_be_put() -> None:
    assert set(Changes._fields) <= set(PutDomain.__struct_fields__)
