"""XEP-0054: vcard-temp."""

from typing import Annotated

from rookery.shared.options import Section, about
from rookery.shared.xeps._xep import Target, Xep

NS = "vcard-temp"


class Options(Section, frozen=True):
    """Cards of accounts."""

    max_bytes: Annotated[int, about("Size of a card", "bytes", ge=1, was="limits.vcard_bytes")] = 65_536


XEP = Xep(
    54,
    "1.3.0",
    "complete",
    features={Target.DOMAIN: (NS,), Target.ACCOUNT: (NS,)},
    implemented_in="workers.account",
    note="Anybody may read a card; a missing card and a missing account answer alike (section 3.3).",
    options=Options,
)
XEP.forward("account", NS, "vCard", Target.ACCOUNT)
