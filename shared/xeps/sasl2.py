"""XEP-0388: Extensible SASL Profile."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from rookery.shared.xeps import bind2
from rookery.shared.xeps import stream_management as sm
from rookery.shared.xeps._xep import Xep
from rookery.shared.xmpp.errors import StreamError
from rookery.shared.xmpp.xml import Element

NS: Final = "urn:xmpp:sasl:2"

XEP = Xep(
    388,
    "1.0.4",
    "complete",
    implemented_in="edge",
    note="after TLS only; resumption (XEP-0198) and Bind 2 (XEP-0386) inline; there are no tasks, so nothing is continued",
)
#: A UUID of version 4 (section 2.3).
_UUID: Final = re.compile(
    "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII
)


class Request(NamedTuple):
    """`<authenticate/>`: the mechanism, the initial response (None: there is none), who the client is, and what it wants at once."""

    mechanism: str
    initial: str | None
    #: The client's stable id, "" when it does not say.
    agent: str
    resume: Element | None
    bind: bind2.Request | None


def parse(element: Element) -> Request:
    """Read `<authenticate/>`. Raises StreamError(bad-format) when something stands in it twice."""
    found: dict[str, Element] = {}
    for child in element.elements():
        key = _KNOWN.get((child.ns, child.name))
        if key is None:
            continue  # what we did not offer is ignored
        if key in found:
            raise StreamError("bad-format", f"<{key}/> stands there twice")
        found[key] = child
    agent = found.get("user-agent")
    identifier = (agent.get("id") or "") if agent is not None else ""
    initial = found.get("initial-response")
    return Request(
        element.get("mechanism") or "",
        None if initial is None else initial.text,
        identifier.lower() if _UUID.fullmatch(identifier) else "",
        found.get("resume"),
        bind2.parse(found["bind"]) if "bind" in found else None,
    )


_KNOWN: Final = {
    (NS, "initial-response"): "initial-response",
    (NS, "user-agent"): "user-agent",
    (sm.NS, "resume"): "resume",
    (bind2.NS, "bind"): "bind",
}


def stream_feature(mechanisms: Iterable[str]) -> Element:
    """What is offered before authentication (section 2.1)."""
    return Element(
        NS,
        "authentication",
        None,
        *(Element(NS, "mechanism", None, name) for name in mechanisms),
        Element(NS, "inline", None, sm.feature(), bind2.stream_feature()),
    )


def success(additional: str, jid: str, inline: Sequence[Element]) -> Element:
    """`<success/>` (section 2.6.1); `additional` is Base64, "" for none."""
    return Element(
        NS,
        "success",
        None,
        Element(NS, "additional-data", None, additional) if additional else None,
        Element(NS, "authorization-identifier", None, jid),
        *inline,
    )
