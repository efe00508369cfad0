from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rookery.shared.xeps.stanza_ids import NS, identified, prefix, split
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

BOB = prefix("bob@example.org")
MESSAGE = Stanza.build("message", Element("jabber:client", "body", None, "hi"))


def test_the_id_is_a_child_that_says_who_gave_it() -> None:
    given = identified(MESSAGE, BOB, "abc").elements()[-1]
    assert given == Element(NS, "stanza-id", {"by": "bob@example.org", "id": "abc"})
    assert identified(MESSAGE, prefix("o'hara&co@x"), "1").elements()[-1].get("by") == "o'hara&co@x"


@given(st.text("abcdefXYZ019_-", min_size=1))
def test_splitting_undoes_it(id: str) -> None:
    assert split(identified(MESSAGE, BOB, id), BOB) == (MESSAGE, id)


def test_a_message_without_our_id_stays_as_it_is() -> None:
    other = identified(MESSAGE, prefix("alice@example.org"), "1")
    behind = identified(MESSAGE, BOB, "1").with_child(Element(NS, "origin-id", {"id": "2"}))
    for stanza in (MESSAGE, other, behind):
        assert split(stanza, BOB) == (stanza, "")
