"""Errors of XEP-0060 by name: a condition of RFC 6120 with one of section 19.2 of the namespace `#errors`."""

from __future__ import annotations

from typing import Final

from rookery.shared.xmpp.errors import StanzaError

NS: Final = "http://jabber.org/protocol/pubsub#errors"


def error(condition: str, name: str, text: str | None = None, feature: str = "") -> StanzaError:
    """An error with an application-specific condition; `feature` is what is not supported."""
    return StanzaError(condition, text, app=(NS, name), app_attrs={"feature": feature} if feature else None)


def no_node() -> StanzaError:
    """There is no such node, or none that the sender may know of."""
    return StanzaError("item-not-found")


def unsupported(feature: str) -> StanzaError:
    """The node or the service has no such feature."""
    return error("feature-not-implemented", "unsupported", None, feature)
