"""XEP-0478: Stream Limits Advertisement."""

from rookery.shared.xeps._xep import Xep
from rookery.shared.xmpp.xml import Element

NS = "urn:xmpp:stream-limits:0"
XEP = Xep(478, "0.2.0", "complete", implemented_in="edge")


def stream_feature(max_bytes: int, idle_seconds: int) -> Element:
    """What an edge says of its limits: bytes of one top-level element, seconds of silence (0: no limit)."""
    return Element(
        NS,
        "limits",
        None,
        Element(NS, "max-bytes", None, str(max_bytes)),
        Element(NS, "idle-seconds", None, str(idle_seconds)) if idle_seconds else None,
    )
