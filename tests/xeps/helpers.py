"""A context and requests for the stateless handlers."""

from __future__ import annotations

from rookery.shared.config import Config
from rookery.shared.xeps._xep import Context, Handler, Local, Target
from rookery.shared.xeps.registry import FEATURES, lookup
from rookery.shared.xmpp.parse import parse_element
from rookery.shared.xmpp.stanza import Stanza

ALICE = "alice@example.org/phone"


def context(**changes: object) -> Context:
    fields: dict[str, object] = {
        "now": 1_600_000_100.5,
        "started": 1_600_000_000.0,
        "version": "1.2.3",
        "domain": "example.org",
        "address": "example.org",
        "own": False,
        "registration_open": False,
        "contacts": (),
        "features": FEATURES,
        "options": Config().options,
    }
    return Context(**{**fields, **changes})  # type: ignore[arg-type]


def iq(payload: str, type: str = "get", to: str = "example.org") -> Stanza:
    return Stanza.build("iq", parse_element(payload.encode()), type=type, to=to, from_=ALICE, id="1")


def ask(request: Stanza, target: Target = Target.DOMAIN, **changes: object) -> Stanza:
    """What the server answers."""
    namespace, name = request.payloads[0]
    entry = lookup(target, request.type, namespace, name)
    assert isinstance(entry, Local)
    handler: Handler = entry.handler
    answer = handler(request, context(**changes))
    assert (answer.type, answer.id, answer.to, answer.from_) == ("result", "1", ALICE, request.to)
    return answer
