"""XEP-0433: rooms are found by a form."""

from __future__ import annotations

import pytest

from rookery.shared.xeps.channel_search import BY_ADDRESS, PARAMS, SEARCH
from rookery.shared.xeps.data_forms import Field, form
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element
from rookery.workers.muc.room.service_iqs import Listed, ServiceView, service_iq

ROOMS = (
    Listed("a@rooms.x", "Roses", occupants=1),
    Listed("b@rooms.x", "Tulips", "roses too", occupants=9),
    Listed("c@rooms.x", "Oaks"),
)


def asked(*fields: Field, kind: str = PARAMS) -> Stanza:
    search = Element(SEARCH, "search", None, form("submit", kind, list(fields)) if fields else None)
    return Stanza.build("iq", search, type="get", id="q", from_="u@x/r", to="rooms.x")


def found(answer: Stanza) -> list[str]:
    result = answer.find(SEARCH, "result")
    assert result is not None
    return [item.get("address") or "" for item in result.elements(SEARCH, "item")]


def test_without_a_form_one_is_given() -> None:
    answer = service_iq(asked(), ServiceView(ROOMS))
    assert PARAMS.encode() in answer.inner


def test_words_and_order() -> None:
    view = ServiceView(ROOMS)
    assert set(found(service_iq(asked(Field("q", ("oaks",))), view))) == {"c@rooms.x"}
    everything = asked(Field("all", ("1",)), Field("key", (BY_ADDRESS,)))
    assert found(service_iq(everything, view)) == ["a@rooms.x", "b@rooms.x", "c@rooms.x"]


@pytest.mark.parametrize(
    "iq",
    [
        asked(Field("all", ("1",)), Field("q", ("x",))),
        asked(Field("q", ("x",)), kind="urn:other"),
        asked(Field("all", ("maybe",))),
    ],
)
def test_what_cannot_be_understood(iq: Stanza) -> None:
    with pytest.raises(StanzaError, match="bad-request"):
        service_iq(iq, ServiceView(ROOMS))
