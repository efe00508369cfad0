"""XEP-0356: grants as rows have them. Who may do what is asked in `tests/unit/component/test_privileges.py`."""

from __future__ import annotations

import pytest

from rookery.shared.xeps.privileged_entity import Grants, of_row


@pytest.mark.parametrize(
    ("said", "grants"),
    [
        ({}, Grants()),
        ({"roster": "both", "message": "outgoing"}, Grants("both", "outgoing")),
        ({"roster": "everything", "message": True}, Grants()),
        ({"presence": "roster", "iq": ["urn:x"], "push": "yes"}, Grants(push=False)),
        (
            {"presence": "managed_entity", "iq": {"urn:x": "get", "urn:y": "none"}},
            Grants(presence="managed_entity", iq=(("urn:x", "get"),)),
        ),
    ],
)
def test_what_cannot_be_read_grants_nothing(said: dict[str, object], grants: Grants) -> None:
    assert of_row(said) == grants


def test_pushes_go_to_who_may_read() -> None:
    assert [Grants(roster).pushes for roster in ("none", "get", "set", "both")] == [False, True, False, True]
    assert not Grants("both", push=False).pushes


def test_access_to_rosters_is_by_type() -> None:
    for roster, types in (("none", ""), ("get", "get"), ("set", "set"), ("both", "get set")):
        allowed = [type for type in ("get", "set") if Grants(roster).roster_allows(type)]
        assert allowed == types.split()
