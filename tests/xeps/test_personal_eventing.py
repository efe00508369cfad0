"""XEP-0163: an account says that it has nodes (section 6.1)."""

from __future__ import annotations

from tests.xeps.helpers import ask, iq

from rookery.shared.xeps._disco import NS_INFO
from rookery.shared.xeps._xep import Target


def test_an_account_is_a_service_of_nodes() -> None:
    answer = ask(iq(f"<query xmlns='{NS_INFO}'/>", to="alice@example.org"), Target.ACCOUNT, own=True)
    query = answer.find(NS_INFO, "query")
    assert query is not None
    identities = [(one.get("category"), one.get("type")) for one in query.elements(NS_INFO, "identity")]
    assert identities == [("account", "registered"), ("pubsub", "pep")]
