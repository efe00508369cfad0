"""Requests (iq get and set) that routers forward to a kind of worker: one table for each kind, and how it is used.

The table of a kind is `REQUESTS` in its `requests.py`; `registry.answered_by` checks it against the extensions when it is imported.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TypeVar

from rookery.shared.bus.messages import Handle
from rookery.shared.xeps.registry import Payload
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.hosted import HostedWorker

T = TypeVar("T")
#: Answers a request to an account of a partition; None when it has sent the answer itself. Raises StanzaError.
Answerer = Callable[[T, int, Handle], Awaitable[Stanza | None]]


def is_request(stanza: Stanza) -> bool:
    """Whether somebody waits for an answer to this stanza."""
    return stanza.kind == "iq" and stanza.type in ("get", "set")


async def serve(
    worker: HostedWorker, requests: Mapping[Payload, Answerer[T]], of: T, partition: int, item: Handle
) -> None:
    """Answer a request by the table of the kind; the answerers get `of`."""
    iq = item.stanza
    answerer = requests.get((iq.type, *iq.payloads[0])) if len(iq.payloads) == 1 else None
    if answerer is None:
        worker.answer(item.origin, iq.error(StanzaError("service-unavailable")))
    else:
        await worker.serve_iq(item.origin, iq, partial(answerer, of, partition, item))
