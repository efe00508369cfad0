"""XEP-0012: Last Activity."""

from typing import Annotated

from rookery.shared.options import Section, about
from rookery.shared.xeps._xep import Context, Target, Xep
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

NS = "jabber:iq:last"


class Options(Section, frozen=True):
    """When accounts were last here."""

    status_max: Annotated[
        int, about("How much of the last status is kept; 0 for nothing", "characters", ge=0, le=1024)
    ] = 1024
    write_seconds: Annotated[
        float, about("How long departures are collected, to be written in one commit", "seconds", ge=0)
    ] = 1.0


XEP = Xep(
    12,
    "2.0",
    "complete",
    features={Target.DOMAIN: (NS,), Target.ACCOUNT: (NS,)},
    implemented_in="workers.account",
    options=Options,
)


def answer(iq: Stanza, seconds: int, status: str = "") -> Stanza:
    """The result: whole seconds, and the status of the last unavailable presence when there is one."""
    return iq.result(Element(NS, "query", {"seconds": str(max(0, seconds))}, status or None))


@XEP.iq("get", NS, "query", Target.DOMAIN)
def uptime(iq: Stanza, context: Context) -> Stanza:
    """A domain's last activity is its uptime (section 5)."""
    return answer(iq, int(context.now - context.started))


def online(iq: Stanza, context: Context) -> Stanza:
    """An account with an available resource is active now (section 3)."""
    return answer(iq, 0)


XEP.forward("account", NS, "query", Target.ACCOUNT, types=("get",), subscribers_only=True, online=online)
