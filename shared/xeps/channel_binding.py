"""XEP-0440: SASL Channel-Binding Type Capability."""

from collections.abc import Iterable

from rookery.shared.xeps._xep import Xep
from rookery.shared.xmpp.xml import Element

NS = "urn:xmpp:sasl-cb:0"
XEP = Xep(440, "1.0.0", "complete", implemented_in="edge", note="tls-server-end-point (RFC 5929).")


def stream_feature(types: Iterable[str]) -> Element:
    """The channel-binding types that this stream's SASL mechanisms accept."""
    return Element(
        NS, "sasl-channel-binding", None, *(Element(NS, "channel-binding", {"type": type}) for type in types)
    )
