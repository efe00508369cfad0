"""What waits for an inactive client: the pure machine."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rookery.router.accounts.postponed import Postponed
from rookery.shared.xeps.client_state import Options
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

OPTIONS = Options()

COMPOSING = Element("http://jabber.org/protocol/chatstates", "composing")
PAUSED = Element("http://jabber.org/protocol/chatstates", "paused")
BODY = Element("jabber:client", "body", None, "hi")
EVENT = Element("http://jabber.org/protocol/pubsub#event", "event")


def presence(sender: str, type: str = "", show: str = "") -> Stanza:
    children = [Element("jabber:client", "show", None, show)] if show else []
    return Stanza.build("presence", *children, type=type, from_=sender)


def state(sender: str, element: Element = COMPOSING) -> Stanza:
    return Stanza.build("message", element, type="chat", from_=sender)


def test_the_newest_of_a_sender_replaces_the_one_before_and_goes_to_the_end() -> None:
    postponed = Postponed()
    for stanza in (presence("a@x/1"), presence("b@x/1"), presence("a@x/1", show="away"), state("a@x/1")):
        assert postponed.postpone(stanza, "me")
    assert postponed.postpone(state("a@x/1", PAUSED), "")
    assert [(one.stanza.from_, one.stanza.kind) for one in postponed.drain()] == [
        ("b@x/1", "presence"), ("a@x/1", "presence"), ("a@x/1", "message")
    ]  # fmt: skip
    assert not postponed
    assert postponed.drain() == []


def test_headlines_all_wait() -> None:
    postponed = Postponed()
    for _ in range(3):
        assert postponed.postpone(Stanza.build("message", EVENT, type="headline", from_="a@x"), "")
    assert len(postponed.drain()) == 3


def test_what_matters_does_not_wait_and_a_copy_is_judged_by_what_it_wraps() -> None:
    postponed = Postponed()
    message = Stanza.build("message", BODY, type="chat", from_="a@x/1")
    copy = Stanza.build("message", Element("urn:xmpp:carbons:2", "sent"), type="chat", from_="me@x")
    assert not postponed.postpone(message, "")
    assert not postponed.postpone(copy, "")
    assert not postponed.postpone(copy, "", message)
    assert postponed.postpone(copy, "", state("a@x/1"))
    assert postponed.postpone(copy, "", state("b@x/1"))
    assert postponed.postpone(copy, "", state("a@x/1", PAUSED))
    assert len(postponed.drain()) == 2


def test_a_flood_of_presence_stays_bounded() -> None:
    postponed = Postponed()
    for number in range(100_000):
        assert postponed.postpone(presence(f"a@x/{number % 10}", show="away"), "")
    assert len(postponed) == 10
    assert not postponed.exceeds(OPTIONS)
    for number in range(OPTIONS.postponed_stanzas):
        postponed.postpone(presence(f"b@x/{number}"), "")
        if postponed.exceeds(OPTIONS):
            break
    assert len(postponed) <= OPTIONS.postponed_stanzas
    postponed.drain()
    postponed.postpone(presence("c@x/1", show="x" * 70_000), "")
    assert postponed.exceeds(OPTIONS)


def test_who_has_gone_is_known_and_told_once() -> None:
    postponed = Postponed()
    assert not postponed.untold()
    postponed.postpone(presence("a@x/1"), "")
    assert postponed.untold()
    assert not postponed.untold()
    postponed.postpone(presence("a@x/1", "unavailable"), "")
    postponed.postpone(presence("b@x/1", "unavailable"), "")
    postponed.postpone(presence("b@x/1"), "")
    assert postponed.gone == ["a@x/1"]
    assert postponed.untold()
    postponed.drain()
    assert postponed.untold()
    assert postponed.gone == []


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["", "unavailable"]))))
def test_the_last_word_of_each_sender_is_what_is_given(words: list[tuple[int, str]]) -> None:
    postponed = Postponed()
    for sender, type in words:
        postponed.postpone(presence(f"a@x/{sender}", type), "")
    last = dict(words)
    assert {one.stanza.from_: one.stanza.type for one in postponed.drain()} == {
        f"a@x/{sender}": type for sender, type in last.items()
    }
