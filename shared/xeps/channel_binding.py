"""XEP-0440: SASL Channel-Binding Type Capability."""

from collections.abc import Iterable
from typing import Annotated, Literal

from rookery.shared.options import Section, about
from rookery.shared.xeps._xep import Xep
from rookery.shared.xmpp.xml import Element

NS = "urn:xmpp:sasl-cb:0"


class Options(Section, frozen=True):
    """Channel binding of SASL: which type, if any, the -PLUS mechanisms are offered with."""

    type: Annotated[
        Literal["none", "tls-server-end-point"],
        # libstrophe from 0.13 on takes any -PLUS mechanism for tls-exporter (RFC 9266), and may not go without one that is offered (RFC 5802 section 6).
        about(
            "What -PLUS mechanisms bind to; tls-server-end-point locks out clients on libstrophe 0.13 and later"
        ),
    ] = "none"


XEP = Xep(
    440,
    "1.0.0",
    "complete",
    implemented_in="edge",
    options=Options,
    note="tls-server-end-point (RFC 5929), when it is set.",
)


def stream_feature(types: Iterable[str]) -> Element:
    """The channel-binding types that this stream's SASL mechanisms accept."""
    return Element(
        NS, "sasl-channel-binding", None, *(Element(NS, "channel-binding", {"type": type}) for type in types)
    )
