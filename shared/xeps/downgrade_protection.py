"""XEP-0474: SASL SCRAM Downgrade Protection."""

from __future__ import annotations

from typing import Annotated

from rookery.shared.options import Section, about
from rookery.shared.xeps._xep import Xep


class Options(Section, frozen=True):
    """Whether SCRAM signs what was offered."""

    enabled: Annotated[
        bool,
        about(
            "Whether clients are told by SCRAM which mechanisms and channel bindings were offered; off for clients that stumble over it"
        ),
    ] = True


XEP = Xep(
    474,
    "0.5.0",
    "complete",
    implemented_in="edge",
    options=Options,
    note="in both profiles of SASL, as the attribute h of the first message",
)
