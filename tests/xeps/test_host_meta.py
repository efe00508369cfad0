"""XEP-0156."""

import json
from xml.etree import ElementTree as ET

from rookery.shared.xeps.host_meta import jrd, xrd

URL = "wss://example.org:5443/ws?a=1&b='2'"


def test_both_documents_name_the_websocket() -> None:
    root = ET.fromstring(xrd(URL))
    links = [(link.get("rel"), link.get("href")) for link in root]
    assert root.tag == "{http://docs.oasis-open.org/ns/xri/xrd-1.0}XRD"
    assert links == [("urn:xmpp:alt-connections:websocket", URL)]
    assert json.loads(jrd(URL)) == {"links": [{"rel": links[0][0], "href": URL}]}
