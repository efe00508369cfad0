"""XEP-0202: Entity Time."""

from datetime import UTC, datetime

from rookery.shared.xeps._xep import Context, Target, Xep
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

NS = "urn:xmpp:time"
XEP = Xep(202, "2.0", "complete", features={Target.DOMAIN: (NS,)})


@XEP.iq("get", NS, "time", Target.DOMAIN)
def time(iq: Stanza, context: Context) -> Stanza:
    """Answer with the server's UTC time; the offset of a server is always +00:00 here."""
    utc = datetime.fromtimestamp(int(context.now), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return iq.result(
        Element(NS, "time", None, Element(NS, "tzo", None, "+00:00"), Element(NS, "utc", None, utc))
    )
