"""XEP-0203: Delayed Delivery."""

import re
from datetime import UTC, datetime

from rookery.shared.xeps._xep import Target, Xep
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

NS = "urn:xmpp:delay"
XEP = Xep(203, "2.0", "complete", features={Target.DOMAIN: (NS,)})


def stamp(seconds: float) -> str:
    """A time as XEP-0082 writes it: Unix seconds, cut to milliseconds in UTC."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z"


_STAMP = re.compile(rb"<delay xmlns='urn:xmpp:delay'[^>]*?(?:/>|>[^<]*</delay>)")


def delay(seconds: float, by: str, reason: str = "") -> Element:
    """A delay stamp, and the entity that delayed the stanza."""
    return Element(NS, "delay", {"from": by, "stamp": stamp(seconds)}, reason or None)


def stamped(stanza: Stanza, seconds: float, by: str, reason: str = "") -> Stanza:
    """A copy with our delay stamp at the end; stamps of others stay (section 4)."""
    return stanza.with_child(delay(seconds, by, reason))


def unstamped(inner: bytes) -> bytes:
    """Canonical inner XML without delay stamps: clients add one to what they send again (XEP-0198 section 4)."""
    return _STAMP.sub(b"", inner) if b"urn:xmpp:delay" in inner else inner
