"""XEP-0030."""

import pytest

from rookery.shared.config import Config
from rookery.shared.xeps import registry
from rookery.shared.xeps._xep import Local, Target
from rookery.shared.xeps.entity_caps import server_node
from rookery.shared.xeps.service_discovery import NS_INFO, NS_ITEMS, Options
from rookery.shared.xmpp.errors import StanzaError

from .helpers import ask, iq

INFO = f"<query xmlns='{NS_INFO}'/>"
ITEMS = f"<query xmlns='{NS_ITEMS}'/>"
DOMAIN = registry.FEATURES[Target.DOMAIN]


def test_a_domain_tells_identity_features_and_addresses() -> None:
    contacts = (("abuse-addresses", ("mailto:abuse@example.org",)),)
    query = ask(iq(INFO), contacts=contacts).elements()[0]
    identity = query.find(NS_INFO, "identity")
    assert identity is not None
    assert (identity.get("category"), identity.get("type")) == ("server", "im")
    assert [e.get("var") for e in query.elements(NS_INFO, "feature")] == list(DOMAIN)
    assert query.find("jabber:x:data", "x") is not None


def test_the_node_of_our_capabilities_answers_with_itself() -> None:
    node = server_node(DOMAIN, ())
    query = ask(iq(f"<query xmlns='{NS_INFO}' node='{node}'/>")).elements()[0]
    assert query.get("node") == node
    assert len(list(query.elements(NS_INFO, "feature"))) == len(DOMAIN)


@pytest.mark.parametrize("target", [Target.DOMAIN, Target.ACCOUNT])
@pytest.mark.parametrize("namespace", [NS_INFO, NS_ITEMS])
def test_an_unknown_node(target: Target, namespace: str) -> None:
    with pytest.raises(StanzaError) as caught:
        ask(iq(f"<query xmlns='{namespace}' node='x'/>"), target)
    assert caught.value.condition == "item-not-found"


def test_an_account_is_registered() -> None:
    query = ask(iq(INFO, to="alice@example.org"), Target.ACCOUNT).elements()[0]
    identity = query.find(NS_INFO, "identity")
    assert identity is not None
    assert (identity.get("category"), identity.get("type")) == ("account", "registered")


def test_an_account_lists_its_available_resources() -> None:
    resources = ("alice@example.org/a", "alice@example.org/b")
    query = ask(iq(ITEMS, to="alice@example.org"), Target.ACCOUNT, resources=resources).elements()[0]
    assert [e.get("jid") for e in query.elements(NS_ITEMS, "item")] == list(resources)


def test_a_domain_lists_no_accounts() -> None:
    assert ask(iq(ITEMS)).inner == f"<query xmlns='{NS_ITEMS}'/>".encode()


def test_accounts_answer_subscribers_only() -> None:
    """Section 8: a stranger must not learn that an account exists or what it does."""
    for namespace in (NS_INFO, NS_ITEMS):
        entry = registry.lookup(Target.ACCOUNT, "get", namespace, "query")
        assert isinstance(entry, Local)
        assert entry.subscribers_only


def test_a_domain_lists_the_services_that_the_operator_names() -> None:
    items = ("conference.example.net", "echo.example.net Say it again")
    config = Config(service_discovery=Options(items=items))
    answer = ask(iq(f"<query xmlns='{NS_ITEMS}'/>"), options=config.options).find(NS_ITEMS, "query")
    assert answer is not None
    assert [(item.get("jid"), item.get("name")) for item in answer.elements()] == [
        ("conference.example.net", None),
        ("echo.example.net", "Say it again"),
    ]
