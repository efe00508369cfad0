"""XEP-0199: XMPP Ping."""

from rookery.shared.xeps._xep import Context, Target, Xep
from rookery.shared.xmpp.stanza import Stanza

NS = "urn:xmpp:ping"
XEP = Xep(199, "2.0.1", "complete", features={Target.DOMAIN: (NS,), Target.ACCOUNT: (NS,)})


@XEP.iq("get", NS, "ping", Target.DOMAIN)
@XEP.iq("get", NS, "ping", Target.ACCOUNT, subscribers_only=True)
def pong(iq: Stanza, context: Context) -> Stanza:
    """Answer with an empty result (section 4.2); a stranger's ping must not tell that an account exists."""
    return iq.result()
