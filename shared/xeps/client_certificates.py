"""XEP-0178: Best Practices for Use of SASL EXTERNAL with Certificates."""

from __future__ import annotations

from typing import Annotated

from rookery.shared.options import Section, about
from rookery.shared.xeps._xep import Xep


class Options(Section, frozen=True):
    """Logins with certificates of clients."""

    ca_file: Annotated[
        str,
        about('Authorities (PEM) whose certificates log users in by EXTERNAL on the XMPP ports; "" for none'),
    ] = ""


XEP = Xep(
    178,
    "1.2",
    "complete",
    implemented_in="edge, workers.account, workers.s2s",
    options=Options,
    note="clients by id-on-xmppAddr, where authorities are set; no mapping of certificates without an address; no lists of revoked ones. "
    "Servers by the names of their certificates",
)
