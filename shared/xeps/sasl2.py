"""XEP-0388: Extensible SASL Profile."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from rookery.shared.xeps import bind2, fast, pipelining
from rookery.shared.xeps import stream_management as sm
from rookery.shared.xeps._xep import Xep
from rookery.shared.xeps.sasl_upgrade import NS as UPGRADE
from rookery.shared.xmpp.errors import StreamError
from rookery.shared.xmpp.xml import Element

NS: Final = "urn:xmpp:sasl:2"

XEP = Xep(
    388,
    "1.0.4",
    "complete",
    implemented_in="edge",
    note="after TLS only; resumption (XEP-0198), Bind 2 (XEP-0386) and tokens (XEP-0484) inline; the tasks are those of XEP-0480",
)
#: Longest name of a program or device that is kept, in characters.
MAX_NAME: Final = 100
#: A UUID of version 4 (section 2.3).
_UUID: Final = re.compile(
    "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII
)


class Agent(NamedTuple):
    """`<user-agent/>`: a client's stable id, its program and its device, each "" when it does not say."""

    id: str = ""
    software: str = ""
    device: str = ""


class Request(NamedTuple):
    """`<authenticate/>`: the mechanism, the initial response (None: there is none), who the client is, and what it wants at once."""

    mechanism: str
    initial: str | None
    agent: Agent
    resume: Element | None
    bind: bind2.Request | None
    #: The client authenticates with a token.
    fast: fast.Use | None = None
    #: The mechanism that it wants a token for, "" for none.
    token: str = ""
    #: Tasks that it selects (XEP-0480).
    upgrades: Sequence[str] = ()
    #: The features that it knows (XEP-0509), None when it has not said.
    version: str | None = None


def parse(element: Element) -> Request:
    """Read `<authenticate/>`. Raises StreamError(bad-format) when something stands in it twice, SaslFailure for a bad `<fast/>`."""
    found: dict[str, Element] = {}
    for child in element.elements():
        key = _KNOWN.get((child.ns, child.name))
        if key is None:
            continue  # what we did not offer is ignored
        if key in found:
            raise StreamError("bad-format", f"<{key}/> stands there twice")
        found[key] = child
    initial, token = found.get("initial-response"), found.get("request-token")
    return Request(
        element.get("mechanism") or "",
        None if initial is None else initial.text,
        _agent(found["user-agent"]) if "user-agent" in found else Agent(),
        found.get("resume"),
        bind2.parse(found["bind"]) if "bind" in found else None,
        fast.parse(found["fast"]) if "fast" in found else None,
        "" if token is None else token.get("mechanism") or "",
        [
            child.text.strip()
            for child in element.elements()
            if (child.ns, child.name) == (UPGRADE, "upgrade")
        ],
        found["config-version"].get("value") or "" if "config-version" in found else None,
    )


def _agent(element: Element) -> Agent:
    id = element.get("id") or ""
    return Agent(
        id.lower() if _UUID.fullmatch(id) else "",
        (element.find_text(NS, "software") or "").strip()[:MAX_NAME],
        (element.find_text(NS, "device") or "").strip()[:MAX_NAME],
    )


_KNOWN: Final = {
    (NS, "initial-response"): "initial-response",
    (NS, "user-agent"): "user-agent",
    (sm.NS, "resume"): "resume",
    (bind2.NS, "bind"): "bind",
    (fast.NS, "fast"): "fast",
    (fast.NS, "request-token"): "request-token",
    (pipelining.NS, "config-version"): "config-version",
}


def stream_feature(
    mechanisms: Iterable[str], tokens: Sequence[str] = (), upgrades: Sequence[Element] = ()
) -> Element:
    """What is offered before authentication (section 2.1); `tokens` are mechanisms for tokens (XEP-0484), `upgrades` as in XEP-0480."""
    inline = [sm.feature(), bind2.stream_feature(), *([fast.feature(tokens)] if tokens else ())]
    return Element(
        NS,
        "authentication",
        None,
        *(Element(NS, "mechanism", None, name) for name in mechanisms),
        Element(NS, "inline", None, *inline),
        *upgrades,
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
