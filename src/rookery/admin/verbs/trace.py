"""The verb that tells the way of one message. It says who writes to whom, so "read" does not allow it; content is never told."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Final

from msgspec import Meta

from rookery.admin import names, tracing
from rookery.admin.desk import Desk
from rookery.admin.verb import Given, Taken, Verb


class TraceMessage(Taken, frozen=True, kw_only=True):
    """Which message: an id of an archive, or with `user` what its sender called it."""

    id: Annotated[str, Meta(min_length=1, max_length=1023)]
    user: Annotated[str, Meta(description="Bare JID of a user whose message it is", max_length=2047)] = ""


class TracedRow(Given, frozen=True, kw_only=True):
    """The message in one archive; `owed`: offline delivery still has to bring it."""

    owner: str
    id: str
    at: datetime
    direction: str
    archived: bool
    owed: bool
    octets: int


class TracedQueue(Given, frozen=True, kw_only=True):
    """It waits for another server, or has been acknowledged a moment ago."""

    remote: str
    local: str
    at: datetime
    expires: datetime
    acknowledged: bool
    trouble: str


class TracedPush(Given, frozen=True, kw_only=True):
    """A client that is notified; `due`: a notification has to go out."""

    account: str
    service: str
    resource: str
    due: bool
    missed: int
    failures: int


class TracedHolder(Given, frozen=True, kw_only=True):
    """Who holds the partition of an address now; `incarnation` is empty when nobody does."""

    address: str
    kind: str
    partition: int
    incarnation: str
    epoch: int


class TracedSession(Given, frozen=True, kw_only=True):
    """A session of one of the two now."""

    jid: str
    edge: str
    state: str


class TracedLine(Given, frozen=True, kw_only=True):
    """A line that a process has logged about the message or its people near that time."""

    process: str
    at: datetime
    event: str
    fields: dict[str, str]


class Traced(Given, frozen=True, kw_only=True, rename={"from_": "from"}):
    """The way of a message."""

    id: str
    from_: str
    to: str
    type: str
    ids: list[str]
    rows: list[TracedRow]
    queued: list[TracedQueue]
    push: list[TracedPush]
    holders: list[TracedHolder]
    sessions: list[TracedSession]
    log: list[TracedLine]


def _timed(one: dict[str, Any], *fields: str) -> dict[str, Any]:
    return {**one, **{name: datetime.fromtimestamp(one[name], UTC) for name in fields}}


async def _trace(desk: Desk, taken: TraceMessage) -> Traced:
    found = await tracing.trace(desk, taken.id, names.account(taken.user) if taken.user else None)
    return Traced(
        id=found["id"],
        from_=found["from"],
        to=found["to"],
        type=found["type"],
        ids=found["ids"],
        rows=[TracedRow(**_timed(one, "at")) for one in found["rows"]],
        queued=[TracedQueue(**_timed(one, "at", "expires")) for one in found["queued"]],
        push=[TracedPush(**one) for one in found["push"]],
        holders=[TracedHolder(**one) for one in found["holders"]],
        sessions=[TracedSession(**one) for one in found["sessions"]],
        log=[TracedLine(**_timed(one, "at")) for one in found["log"]],
    )


VERBS: Final = (
    Verb(
        "trace.message",
        "watch",
        "POST",
        "/v1/trace",
        TraceMessage,
        Traced,
        _trace,
        "Tell the way of one message, without content",
        errors=(404, 503),
    ),
)
