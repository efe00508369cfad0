"""`DOMAIN/echo`."""

from __future__ import annotations

import pytest

from rookery.router.delivery.echo import announces, echo
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

BODY = Element("jabber:client", "body", None, "hi")


@pytest.mark.parametrize(
    ("to", "type", "from_", "answered"),
    [
        ("x.org/echo", "chat", "a@y.org/r", True),
        ("x.org/echo", "", "a@y.org/r", True),
        ("x.org/other", "chat", "a@y.org/r", False),
        ("u@x.org/echo", "chat", "a@y.org/r", False),
        ("x.org/echo", "error", "a@y.org/r", False),
        ("x.org/echo", "chat", "y.org/echo", False),
    ],
)
def test_who_gets_an_answer(to: str, type: str, from_: str, answered: bool) -> None:
    message = Stanza.build("message", BODY, to=to, from_=from_, type=type, id="1")
    answer = echo(message)
    assert (answer is not None) is answered
    if answer is not None:
        assert (answer.to, answer.from_, answer.inner) == (from_, to, message.inner)


@pytest.mark.parametrize(
    ("to", "type", "announced"),
    [
        ("x.org/announce/all", "", True),
        ("x.org/announce/motd/delete", "headline", True),
        ("x.org/announce", "", False),
        ("u@x.org/announce/all", "chat", False),
        ("x.org/announce/all", "error", False),
    ],
)
def test_what_is_an_announcement(to: str, type: str, announced: bool) -> None:
    assert announces(Stanza.build("message", BODY, to=to, from_="a@x.org/r", type=type)) is announced


def test_chat_states_are_not_echoed() -> None:
    state = Element("http://jabber.org/protocol/chatstates", "composing")
    assert echo(Stanza.build("message", state, to="x.org/echo", from_="a@y.org/r", type="chat")) is None
