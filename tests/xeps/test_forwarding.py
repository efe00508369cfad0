from __future__ import annotations

from rookery.shared.xeps.forwarding import NS, forwarded
from rookery.shared.xmpp.parse import parse_element
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element


def test_a_stanza_is_wrapped_as_it_was_with_its_time() -> None:
    body = Element("jabber:client", "body", None, "a < b")
    receipt = Element("urn:xmpp:receipts", "request")
    stanza = Stanza.build("message", body, receipt, to="a@x", from_="b@x/r", type="chat", id="1", lang="en")
    wrapped = parse_element(forwarded(stanza, 1_600_000_000.25))
    delay, message = wrapped.elements()
    assert wrapped.ns == NS
    assert delay == Element("urn:xmpp:delay", "delay", {"stamp": "2020-09-13T12:26:40.250Z"})
    attrs = {"from": "b@x/r", "to": "a@x", "type": "chat", "id": "1", "xml:lang": "en"}
    assert message == Element("jabber:client", "message", attrs, body, receipt)
