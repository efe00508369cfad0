"""XEP-0203: Delayed Delivery."""

from datetime import UTC, datetime

from rookery.shared.xeps._xep import Target, Xep
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

NS = "urn:xmpp:delay"
XEP = Xep(203, "2.0", "complete", features={Target.DOMAIN: (NS,)})


def delay(seconds: float, by: str, reason: str = "") -> Element:
    """A delay stamp: Unix seconds, cut to milliseconds in UTC (XEP-0082), and the entity that delayed the stanza."""
    moment = datetime.fromtimestamp(seconds, UTC)
    stamp = f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z"
    return Element(NS, "delay", {"from": by, "stamp": stamp}, reason or None)


def stamped(stanza: Stanza, seconds: float, by: str, reason: str = "") -> Stanza:
    """A copy with our delay stamp at the end; stamps of others stay (section 4)."""
    return stanza.with_child(delay(seconds, by, reason))
