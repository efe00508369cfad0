"""XEP-0156: Discovering Alternative XMPP Connection Methods."""

import json

from rookery.shared.xeps._xep import Xep
from rookery.shared.xmpp.xml import Element

NS_XRD = "http://docs.oasis-open.org/ns/xri/xrd-1.0"
REL_WEBSOCKET = "urn:xmpp:alt-connections:websocket"
XEP = Xep(156, "1.4.0", "complete", implemented_in="edge", note="host-meta as XML and JSON; WebSocket only.")


def xrd(websocket_url: str) -> bytes:
    """The document at /.well-known/host-meta (section 3.1)."""
    link = Element(NS_XRD, "Link", {"rel": REL_WEBSOCKET, "href": websocket_url})
    return b"<?xml version='1.0' encoding='utf-8'?>\n" + Element(NS_XRD, "XRD", None, link).encode("")


def jrd(websocket_url: str) -> bytes:
    """The document at /.well-known/host-meta.json (section 3.2)."""
    return json.dumps({"links": [{"rel": REL_WEBSOCKET, "href": websocket_url}]}).encode()
