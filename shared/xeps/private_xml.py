"""XEP-0049: Private XML Storage."""

from typing import Annotated

from rookery.shared.options import Section, about
from rookery.shared.xeps._xep import Target, Xep

NS = "jabber:iq:private"


class Options(Section, frozen=True):
    """What clients keep at the server for themselves."""

    max_bytes: Annotated[
        int, about("All private elements of an account together", "bytes", ge=1, was="limits.private_bytes")
    ] = 262_144


XEP = Xep(
    49,
    "1.2",
    "complete",
    features={Target.DOMAIN: (NS,), Target.ACCOUNT: (NS,)},
    implemented_in="workers.account",
    options=Options,
)
XEP.forward("account", NS, "query", Target.ACCOUNT)
