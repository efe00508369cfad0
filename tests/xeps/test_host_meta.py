"""XEP-0156."""

import json
from xml.etree import ElementTree as ET

from rookery.shared.xeps.host_meta import REL_BOSH, REL_WEBSOCKET, jrd, xrd

URL = "wss://example.org:5443/ws?a=1&b='2'"


BIND = "https://example.org:5443/http-bind"
URLS = {REL_WEBSOCKET: URL, REL_BOSH: BIND}


def test_both_documents_name_both_ways() -> None:
    root = ET.fromstring(xrd(URLS))
    links = [(link.get("rel"), link.get("href")) for link in root]
    assert root.tag == "{http://docs.oasis-open.org/ns/xri/xrd-1.0}XRD"
    assert links == [("urn:xmpp:alt-connections:websocket", URL), ("urn:xmpp:alt-connections:xbosh", BIND)]
    assert json.loads(jrd(URLS)) == {"links": [{"rel": rel, "href": url} for rel, url in links]}
