"""XEP-0092: Software Version."""

from rookery.shared.xeps._xep import Context, Target, Xep
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

NS = "jabber:iq:version"
NAME = "Rookery"
XEP = Xep(
    92,
    "1.1",
    "complete",
    features={Target.DOMAIN: (NS,)},
    note="The operating system is not told (section 5).",
)


@XEP.iq("get", NS, "query", Target.DOMAIN)
def version(iq: Stanza, context: Context) -> Stanza:
    """Answer with the name and the version of this server."""
    return iq.result(
        Element(
            NS, "query", None, Element(NS, "name", None, NAME), Element(NS, "version", None, context.version)
        )
    )
