"""XEP-0092: Software Version."""

from typing import Annotated

from rookery.shared.options import Section, about
from rookery.shared.xeps._xep import Context, Target, Xep
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

NS = "jabber:iq:version"
NAME = "Rookery"


class Options(Section, frozen=True):
    """What anybody may ask about this software."""

    show_version: Annotated[bool, about("Tell the version of the server; else only its name")] = True


XEP = Xep(
    92,
    "1.1",
    "complete",
    features={Target.DOMAIN: (NS,)},
    note="The operating system is not told (section 5).",
    options=Options,
)


@XEP.iq("get", NS, "query", Target.DOMAIN)
def version(iq: Stanza, context: Context) -> Stanza:
    """Answer with the name and the version of this server; the version is empty where it is not told (section 3 requires it)."""
    shown = context.version if context.options(Options).show_version else ""
    return iq.result(
        Element(
            NS, "query", None, Element(NS, "name", None, NAME), Element(NS, "version", None, shown or None)
        )
    )
