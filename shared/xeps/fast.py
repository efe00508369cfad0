"""XEP-0484: Fast Authentication Streamlining Tokens."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Final, NamedTuple

from rookery.shared.options import Section, about
from rookery.shared.xeps._xep import Xep
from rookery.shared.xmpp.sasl.common import SaslFailure
from rookery.shared.xmpp.xml import Element

NS: Final = "urn:xmpp:fast:0"
#: The highest count (xs:int).
_MAX_COUNT: Final = 2_147_483_647


class Options(Section, frozen=True):
    """Tokens with which clients that have authenticated once come back in one step."""

    enabled: Annotated[bool, about("Give tokens to clients that ask for one, and take them")] = True
    days: Annotated[int, about("A token that is not used ends after this", "days", ge=1, le=3650)] = 21
    rotate_hours: Annotated[
        float, about("A client that comes with a token older than this gets the next one", "hours", ge=0)
    ] = 24.0
    agents_per_account: Annotated[
        int, about("Clients of one account with tokens; beyond it the oldest loses its own", "clients", ge=1)
    ] = 25
    sealing_key: Annotated[
        str,
        about(
            "Also protects stored tokens that are bound to a channel; the same at all workers, nowhere in the database",
            secret=True,
        ),
    ] = ""


XEP = Xep(
    484,
    "0.2.0",
    "complete",
    implemented_in="edge, workers.account",
    options=Options,
    note="HT-SHA-256-NONE, and HT-SHA-256-ENDP where `channel_binding.type` is set; no TLS early data, but counts are checked wherever they are sent",
)


class Use(NamedTuple):
    """`<fast/>`: the client authenticates with a token. `counter` is -1 when it does not say; with `invalidate` the token ends."""

    counter: int = -1
    invalidate: bool = False


def parse(element: Element) -> Use:
    """Read `<fast/>`. Raises SaslFailure(malformed-request)."""
    said, ends = element.get("count"), element.get("invalidate") or "false"
    if ends not in ("0", "1", "false", "true"):
        raise SaslFailure("malformed-request", "invalidate is true or false")
    if said is None:
        return Use(invalidate=ends in ("1", "true"))
    if not (said.isascii() and said.isdigit()) or not 0 < int(said[:12]) <= _MAX_COUNT:
        raise SaslFailure("malformed-request", "count is a positive number")
    return Use(int(said), ends in ("1", "true"))


def feature(mechanisms: Iterable[str]) -> Element:
    """What is offered inside of SASL2's feature (section 3.1)."""
    return Element(NS, "fast", None, *(Element(NS, "mechanism", None, name) for name in mechanisms))


def token(token: str, expires: int) -> Element:
    """`<token/>`; `expires` in Unix seconds (section 3.3)."""
    stamp = f"{datetime.fromtimestamp(expires, UTC).isoformat()[:19]}Z"
    return Element(NS, "token", {"token": token, "expiry": stamp})
