"""XEP-0156: Discovering Alternative XMPP Connection Methods."""

import json
from collections.abc import Mapping

from rookery.shared.xeps._xep import Xep
from rookery.shared.xmpp.xml import Element

NS_XRD = "http://docs.oasis-open.org/ns/xri/xrd-1.0"
REL_WEBSOCKET = "urn:xmpp:alt-connections:websocket"
REL_BOSH = "urn:xmpp:alt-connections:xbosh"
XEP = Xep(
    156, "1.4.0", "complete", implemented_in="edge", note="host-meta as XML and JSON: WebSocket and BOSH."
)


def xrd(links: Mapping[str, str]) -> bytes:
    """The document at /.well-known/host-meta (section 2.1), with a URL for each relation."""
    found = [Element(NS_XRD, "Link", {"rel": rel, "href": url}) for rel, url in links.items()]
    return b"<?xml version='1.0' encoding='utf-8'?>\n" + Element(NS_XRD, "XRD", None, *found).encode("")


def jrd(links: Mapping[str, str]) -> bytes:
    """The same as /.well-known/host-meta.json (section 2.3)."""
    return json.dumps({"links": [{"rel": rel, "href": url} for rel, url in links.items()]}).encode()
