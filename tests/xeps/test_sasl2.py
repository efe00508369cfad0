"""XEP-0388: what `<authenticate/>` says, and what is offered. The exchange itself: tests/unit/edge/login/test_inline.py."""

from __future__ import annotations

import pytest

from rookery.shared.xeps import bind2, sasl2
from rookery.shared.xeps import stream_management as sm
from rookery.shared.xmpp.errors import StreamError
from rookery.shared.xmpp.xml import Element

NS = sasl2.NS


def authenticate(*children: Element) -> Element:
    return Element(NS, "authenticate", {"mechanism": "PLAIN"}, *children)


@pytest.mark.parametrize(
    ("children", "initial"),
    [
        ((), None),
        ((Element(NS, "initial-response"),), ""),
        ((Element(NS, "initial-response", None, "YQ=="),), "YQ=="),
    ],
)
def test_no_initial_response_is_not_an_empty_one(children: tuple[Element, ...], initial: str | None) -> None:
    request = sasl2.parse(authenticate(*children))
    assert (request.mechanism, request.initial) == ("PLAIN", initial)


@pytest.mark.parametrize(
    ("told", "believed"),
    [
        ("d4565fa7-4d72-4749-b3d3-740edbf87770", "d4565fa7-4d72-4749-b3d3-740edbf87770"),
        ("D4565FA7-4D72-4749-B3D3-740EDBF87770", "d4565fa7-4d72-4749-b3d3-740edbf87770"),
        ("d4565fa7-4d72-1749-b3d3-740edbf87770", ""),  # version 1
        ("my phone", ""),
        ("", ""),
    ],
)
def test_only_a_uuid_of_version_4_names_a_client(told: str, believed: str) -> None:
    assert sasl2.parse(authenticate(Element(NS, "user-agent", {"id": told}))).agent.id == believed


def test_what_was_asked_for_at_once() -> None:
    request = sasl2.parse(
        authenticate(Element(sm.NS, "resume"), Element(bind2.NS, "bind"), Element("urn:x", "y"))
    )
    assert request.resume is not None
    assert request.bind == bind2.Request("", None, False, None)


def test_twice_is_a_mistake() -> None:
    with pytest.raises(StreamError, match="bad-format"):
        sasl2.parse(authenticate(Element(NS, "user-agent"), Element(NS, "user-agent")))


def test_the_feature_has_mechanisms_and_what_goes_inline() -> None:
    feature = sasl2.stream_feature(["SCRAM-SHA-256", "PLAIN"])
    assert [one.text for one in feature.elements() if one.name == "mechanism"] == ["SCRAM-SHA-256", "PLAIN"]
    (inline,) = [one for one in feature.elements() if one.name == "inline"]
    assert [(one.ns, one.name) for one in inline.elements()] == [(sm.NS, "sm"), (bind2.NS, "bind")]


def test_success_has_additional_data_only_when_there_is_some() -> None:
    assert [one.name for one in sasl2.success("", "a@b", ()).elements()] == ["authorization-identifier"]
    assert [one.name for one in sasl2.success("YQ==", "a@b", ()).elements()] == [
        "additional-data",
        "authorization-identifier",
    ]
