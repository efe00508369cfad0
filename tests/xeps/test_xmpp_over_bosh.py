"""XEP-0206: how a stream looks in bodies of BOSH."""

from __future__ import annotations

from rookery.edge.login.framing import BOSH
from rookery.shared.xmpp.errors import StreamError
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element


def test_each_element_declares_its_namespace() -> None:
    assert (
        BOSH.stanza(Stanza.build("iq", type="result", id="1"))
        == b"<iq xmlns='jabber:client' type='result' id='1'/>"
    )
    assert BOSH.features([Element("urn:x", "a")]).startswith(b"<stream:features xmlns:stream='http://etherx")
    assert BOSH.error(StreamError("conflict")).startswith(b"<stream:error xmlns:stream=")


def test_bodies_begin_and_end_the_stream() -> None:
    assert BOSH.open("example.org", "", "1") == BOSH.close() == b""
