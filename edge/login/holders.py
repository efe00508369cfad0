"""What a login asks the router of its account, when that router ends or its partition moves meanwhile: the next holder is asked again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

import trio

from rookery.edge.context import Context
from rookery.shared.bus.api import BusTimeout
from rookery.shared.bus.messages import Bind, Bound, Kind, NotResumed, Resume, Resumed

#: A binding whose partition moved meanwhile, or whose router ended, is asked for again after these pauses, in seconds: a client
#: that may wait for its binding is not turned away because a rollout takes longer than usual.
PAUSES: Final = (0.05, 0.1, 0.2, 0.4, 0.8, *(1.0,) * 30)
#: The part of ``limits.preauth_seconds`` that there is for a turn and an answer of a router.
SHARE: Final = 0.8


class Waiting(Protocol):
    """Whose login it is."""

    #: Why its stream is over, "" while it is not.
    reason: str


def deadline(context: Context) -> float:
    """Until when a login that begins to ask now may wait, in trio's time."""
    return trio.current_time() + SHARE * context.limits.preauth_seconds


async def ask(
    context: Context,
    client: Waiting,
    partition: int,
    request: Callable[[], Bind | Resume],
    until: float,
) -> Bound | Resumed | NotResumed | None:
    """The answer of the first holder that stays long enough.

    None when nobody has answered; an answer may be outdated, when time was up. `request` is called for each attempt. Raises the StanzaError
    that a holder replied.
    """
    answer: Bound | Resumed | NotResumed | None = None
    for pause in PAUSES:
        left = max(0.0, until - trio.current_time())
        try:
            found = await context.bus.call(Kind.ROUTER, partition, request(), timeout=left)
        except BusTimeout:
            # Its holder has ended, and what it granted with it.
            answer = None
        else:
            assert isinstance(found, (Bound, Resumed, NotResumed))
            answer = found
            if isinstance(found, NotResumed) or not context.sessions.outdated(partition, found.grant):
                break
            # The partition moved meanwhile: its new holder must know of this stream.
        if client.reason or trio.current_time() + pause >= until:
            break
        await trio.sleep(pause)
    return answer
