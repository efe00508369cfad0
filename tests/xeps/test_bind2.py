"""XEP-0386: what `<bind/>` says, and which resource comes of it."""

from __future__ import annotations

import pytest

from rookery.shared.xeps import bind2, carbons, client_state
from rookery.shared.xeps import stream_management as sm
from rookery.shared.xmpp.errors import StreamError
from rookery.shared.xmpp.xml import Element

NS = bind2.NS


def bind(*children: Element) -> Element:
    return Element(NS, "bind", None, *children)


def test_features_of_the_session() -> None:
    enable = Element(sm.NS, "enable", {"resume": "true"})
    request = bind2.parse(
        bind(
            Element(NS, "tag", None, " Tester "),
            enable,
            Element(carbons.NS, "enable"),
            Element(client_state.NS, "active"),
        )
    )
    assert (request.tag, request.carbons, request.active) == ("Tester", True, True)
    assert request.enable is not None
    assert request.enable.get("resume") == "true"
    assert bind2.parse(bind(Element(client_state.NS, "inactive"))).active is False
    assert bind2.parse(bind()) == bind2.Request("", None, False, None)


@pytest.mark.parametrize(
    "children",
    [
        (Element(NS, "tag"), Element(NS, "tag")),
        (Element(client_state.NS, "active"), Element(client_state.NS, "inactive")),
    ],
)
def test_contradictions_are_mistakes(children: tuple[Element, ...]) -> None:
    with pytest.raises(StreamError, match="bad-format"):
        bind2.parse(bind(*children))


def test_a_client_with_an_id_has_one_resource_that_does_not_tell_the_id() -> None:
    agent = "d4565fa7-4d72-4749-b3d3-740edbf87770"
    one = bind2.resource("Tester", "a@b", agent, "token-of-one-stream")
    assert one == bind2.resource("Tester", "a@b", agent, "another-token-of-another")
    assert one != bind2.resource("Tester", "c@b", agent, "token-of-one-stream")
    assert one.startswith("Tester.")
    assert agent not in one


def test_without_an_id_each_stream_has_its_own() -> None:
    assert bind2.resource("", "a@b", "", "token-of-one-stream") != bind2.resource(
        "", "a@b", "", "other-of-another"
    )


@pytest.mark.parametrize("tag", ["x" * 5000, "tab\there", "\u202eevil", "a/b@c"])
def test_any_tag_makes_a_resource_that_is_one(tag: str) -> None:
    parsed = bind2.parse(bind(Element(NS, "tag", None, tag)))
    resource = bind2.resource(parsed.tag, "a@b", "", "token-of-one-stream")
    assert 0 < len(resource.encode()) <= 1023


def test_the_feature_lists_what_goes_inline() -> None:
    (inline,) = bind2.stream_feature().elements()
    assert [one.get("var") for one in inline.elements()] == [carbons.NS, client_state.NS, sm.NS]
    assert bind2.bound(()).name == "bound"
