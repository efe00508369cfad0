"""XEP-0175: Best Practices for Use of SASL ANONYMOUS."""

from __future__ import annotations

from typing import Annotated

from rookery.shared.options import Section, about
from rookery.shared.xeps._xep import Xep


class Options(Section, frozen=True):
    """Guests of domains with `--auth anonymous`."""

    sweep_seconds: Annotated[
        float,
        about("How often accounts of guests without a session are looked for and removed", "seconds", ge=1),
    ] = 20.0


XEP = Xep(
    175,
    "1.2",
    "complete",
    implemented_in="edge, workers.account",
    options=Options,
    note="by domain: `rookery domain set --auth anonymous`; guests speak with this cluster only unless the domain's federation says otherwise",
)
