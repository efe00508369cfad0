"""What is decided of single requests to a node (XEP-0060)."""

from __future__ import annotations

import pytest

from rookery.shared.xeps.data_forms import Field, form
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.parse import parse_element
from rookery.shared.xmpp.xml import Element
from rookery.workers.pubsub import owner, publisher, subscriber
from rookery.workers.pubsub.changes import NS_OWNER, Unsubscribed
from rookery.workers.pubsub.config import FORM, Limits, Value, read_form
from rookery.workers.pubsub.node import Ask, Item, Node, Subscription

LIMITS = Limits(20, 1000)
ASK = Ask("a@x/r", 1000.0, LIMITS, subid="s2")


def service_node(**wanted: Value) -> Node:
    node = owner.new_node("s.x", "n", ASK, wanted, account=False)
    node.id = 1
    return node


def published(node: Node, inner: str) -> str:
    """What becomes of a publish request: the name of an error, or the item that subscribers are told of."""
    item, id, payload = publisher.read_item(
        parse_element(
            f"<publish xmlns='http://jabber.org/protocol/pubsub' node='n'>{inner}</publish>".encode()
        )
    )
    try:
        outcome = publisher.publish(node, ASK, publisher.Publication(id, payload, {}, item=item))
    except StanzaError as exc:
        return (exc.app or ("", ""))[1]
    (told,) = outcome.events
    (items,) = told.children[0].elements()
    return "".join(one.encode().decode() for one in items.elements())


ITEM = "<item xmlns='http://jabber.org/protocol/pubsub#event' id='i' publisher='a@x'"


@pytest.mark.parametrize(
    ("persist", "deliver", "none", "empty", "whole"),
    [
        (True, True, "item-required", "payload-required", f"{ITEM}><x xmlns='u'/></item>"),
        (True, False, "item-required", f"{ITEM}/>", f"{ITEM}/>"),
        (False, True, "payload-required", "payload-required", f"{ITEM}><x xmlns='u'/></item>"),
        (False, False, "", "item-forbidden", "item-forbidden"),
    ],
)
def test_what_a_publication_needs_by_the_type_of_its_event(
    persist: bool, deliver: bool, none: str, empty: str, whole: str
) -> None:
    """Sections 4.3 and 7.1.3.6."""
    node = service_node(persist_items=persist, deliver_payloads=deliver)
    assert published(node, "") == none
    assert published(node, "<item id='i'/>") == empty
    assert published(node, "<item id='i'><x xmlns='u'/></item>") == whole


@pytest.mark.parametrize(
    ("model", "wanted", "ends"),
    [
        ("whitelist", "none", True),
        ("whitelist", "publish-only", True),
        ("whitelist", "publisher", False),
        ("open", "none", False),
        ("open", "publish-only", True),
        ("open", "outcast", True),
    ],
)
def test_who_may_read_no_more_is_subscribed_no_more(model: str, wanted: str, ends: bool) -> None:
    """Sections 4.1 and 4.5."""
    node = service_node(access_model=model)
    node.affiliations["b@x"] = "member"
    node.subscriptions["b@x/r", "s1"] = Subscription("b@x/r", "s1")
    row = Element(NS_OWNER, "affiliation", {"jid": "b@x", "affiliation": wanted})
    outcome = owner.set_affiliations(node, ASK, Element(NS_OWNER, "affiliations", None, row))
    assert (Unsubscribed("b@x/r", "s1") in outcome.changes) is ends
    assert [one.to for one in outcome.events] == ([("b@x/r",)] if ends else [])


@pytest.mark.parametrize(("expire", "there"), [("max", True), ("60", True), ("5", False)])
def test_the_last_item_for_a_new_subscriber_has_its_age_and_is_not_too_old(expire: str, there: bool) -> None:
    """Section 6.1.7."""
    node = service_node(item_expire=expire)
    node.last = Item("i", 1, "a@x/r", b"<x xmlns='u'/>", 990.0)
    outcome = subscriber.subscribe(node, ASK, "a@x", None, 9)
    assert len(outcome.events) == there
    for one in outcome.events:
        assert one.children[1].encode() == (
            b"<delay xmlns='urn:xmpp:delay' from='s.x' stamp='1970-01-01T00:16:30.000Z'/>"
        )


@pytest.mark.parametrize(
    ("account", "model", "supported"),
    [
        (False, "presence", False),
        (False, "roster", False),
        (False, "authorize", True),
        (True, "roster", True),
        (True, "x", False),
    ],
)
def test_access_models_that_are_not_supported_are_refused_by_name(
    account: bool, model: str, supported: bool
) -> None:
    """Section 8.1.3; a service sees nobody's presence and has no roster."""
    node = owner.new_node("a@x" if account else "s.x", "n", ASK, {}, account=account)
    asked = form("submit", FORM, [Field("pubsub#access_model", (model,), "list-single")])
    if supported:
        owner.configure(node, ASK, read_form(asked, FORM, LIMITS))
        assert f"<value>{model}</value>".encode() in node.config.form(LIMITS).encode()
        return
    with pytest.raises(StanzaError) as caught:
        owner.configure(node, ASK, read_form(asked, FORM, LIMITS))
    assert (caught.value.condition, (caught.value.app or ("", ""))[1]) == (
        "not-acceptable",
        "unsupported-access-model",
    )
    assert f"<option><value>{model}</value>".encode() not in node.config.form(LIMITS).encode()
