"""XEP-0386: Bind 2."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Annotated, Final, NamedTuple

from rookery.shared.options import Section, about
from rookery.shared.xeps import carbons, client_state
from rookery.shared.xeps import stream_management as sm
from rookery.shared.xeps._xep import Xep
from rookery.shared.xmpp.errors import StreamError
from rookery.shared.xmpp.jid import conform_resource
from rookery.shared.xmpp.xml import Element

NS: Final = "urn:xmpp:bind:0"


class Options(Section, frozen=True):
    """What a binding by Bind 2 does."""

    clear_offline: Annotated[
        bool,
        about(
            "Whether offline messages that the archive has are left to it, as the XEP wants; else they are sent, too"
        ),
    ] = True


XEP = Xep(
    386,
    "1.1.0",
    "complete",
    implemented_in="edge, router, workers.offline",
    note="carbons, client state and stream management inline; a client with an id has always the same resource. Offline messages are cleared "
    "as far as the archive has them, the others are sent",
    options=Options,
)
#: Longest tag that becomes part of a resource, in characters.
MAX_TAG: Final = 64


class Request(NamedTuple):
    """`<bind/>`: what the client calls itself, and what its session shall have from the beginning."""

    tag: str
    #: `<enable/>` of stream management.
    enable: Element | None
    carbons: bool
    #: What the client says of itself (XEP-0352), None when nothing.
    active: bool | None


def parse(element: Element) -> Request:
    """Read `<bind/>`. Raises StreamError(bad-format) when something stands in it twice."""
    found: dict[tuple[str, str], Element] = {}
    for child in element.elements():
        if (child.ns, child.name) in found:
            raise StreamError("bad-format", f"<{child.name}/> stands there twice")
        found[child.ns, child.name] = child
    tag = found.get((NS, "tag"))
    active = (client_state.NS, "active") in found
    inactive = (client_state.NS, "inactive") in found
    if active and inactive:
        raise StreamError("bad-format", "a client is active or inactive")
    return Request(
        "" if tag is None else tag.text.strip()[:MAX_TAG],
        found.get((sm.NS, "enable")),
        (carbons.NS, "enable") in found,
        active if active or inactive else None,
    )


def resource(tag: str, account: str, agent: str, token: str) -> str:
    """The resource of a binding: the tag, and behind it what is the same for each binding of one client with an id (section 4.1)."""
    if agent:
        token = stable(account, agent)
    text = f"{tag}.{token[:12]}" if tag else token[:12]
    return conform_resource(text)


def stable(account: str, agent: str) -> str:
    """What is the same for each binding of one client, and tells nobody its id (section 4.1)."""
    return hashlib.sha256(f"{account}\0{agent}".encode()).hexdigest()[:12]


def is_of(resource: str, client: str) -> bool:
    """Whether a resource was made for the client with this `stable`."""
    return resource == client or resource.endswith(f".{client}")


def stream_feature() -> Element:
    """What is offered inside of SASL2's feature (section 2)."""
    variables = (carbons.NS, client_state.NS, sm.NS)
    inline = Element(NS, "inline", None, *(Element(NS, "feature", {"var": one}) for one in variables))
    return Element(NS, "bind", None, inline)


def bound(answers: Sequence[Element]) -> Element:
    """`<bound/>` with the answers of what was enabled."""
    return Element(NS, "bound", None, *answers)
