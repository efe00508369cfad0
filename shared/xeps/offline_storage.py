"""XEP-0160: Best Practices for Handling Offline Messages."""

from typing import Annotated

from rookery.shared.options import Section, about
from rookery.shared.xeps._xep import Target, Xep

FEATURE = "msgoffline"


class Options(Section, frozen=True):
    """Messages that wait for accounts without a resource."""

    messages: Annotated[
        int, about("Messages that may wait for an account", "messages", ge=1, was="limits.offline_messages")
    ] = 1000
    bytes: Annotated[int, about("Their size together", "bytes", ge=1, was="limits.offline_bytes")] = (
        10 * 1024 * 1024
    )
    days: Annotated[
        int,
        about(
            "Messages that nobody fetched for so long are given up", "days", ge=1, was="limits.offline_days"
        ),
    ] = 90


XEP = Xep(
    160,
    "1.0.1",
    "complete",
    features={Target.DOMAIN: (FEATURE,)},
    implemented_in="router, workers.offline",
    options=Options,
)
