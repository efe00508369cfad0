"""XEP-0175; logins of guests are told by tests/unit/edge/login/test_guests.py and tests/contracts/test_guests.py."""

from tests.xeps.helpers import ask, iq

from rookery.shared.cluster.domains import _of_row
from rookery.shared.xeps._xep import Target


def test_what_a_guest_is() -> None:
    """MUST: the identity account/anonymous (section 3)."""
    query = "<query xmlns='http://jabber.org/protocol/disco#info'/>"
    for guests, type in ((True, "anonymous"), (False, "registered")):
        answer = ask(iq(query, to="a@example.org"), Target.ACCOUNT, guests=guests)
        found = answer.find("http://jabber.org/protocol/disco#info", "query")
        assert found is not None
        first = next(found.elements())
        assert (first.get("category"), first.get("type")) == ("account", type)


def test_guests_speak_with_nobody_elsewhere_unless_that_is_set() -> None:
    """SHOULD NOT (section 2)."""
    row = {"name": "a.example", "kind": "accounts", "registration": True}
    guests = {"auth": {"type": "anonymous"}}
    assert _of_row({**row, "policy": guests}).federation == {"mode": "closed"}
    assert _of_row({**row, "policy": {**guests, "federation": {"mode": "open"}}}).federation == {
        "mode": "open"
    }
    assert _of_row({**row, "policy": {}}).federation == {}
    assert not _of_row({**row, "policy": guests}).registration
