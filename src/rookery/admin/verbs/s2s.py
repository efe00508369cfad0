"""Verbs about other servers, and what waits for them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Final

from msgspec import Meta

from rookery.admin import federation, names
from rookery.admin.desk import Desk
from rookery.admin.verb import Given, Taken, Verb

RemoteName = Annotated[str, Meta(description="Name of a domain elsewhere", min_length=1, max_length=1023)]


class Peer(Given, frozen=True, kw_only=True):
    """A pair of domains: `waiting` messages of `bytes`, the `oldest` since then; the first comes back at `expires`.

    `worked` and `failed` are when it last did; `trouble` is why not. A `mute` server cannot say what it has.
    """

    remote: str
    local: str
    waiting: int
    bytes: int
    oldest: datetime | None
    expires: datetime | None
    worked: datetime | None
    failed: datetime | None
    trouble: str
    mute: bool


class Peers(Given, frozen=True, kw_only=True):
    """Pairs of domains, those that the most waits for first."""

    items: list[Peer]


class ListPeers(Taken, frozen=True, kw_only=True):
    """Which pairs."""

    all: Annotated[bool, Meta(description="Also domains for which nothing waits")] = False


class OfRemote(Taken, frozen=True, kw_only=True):
    """A domain elsewhere."""

    remote: RemoteName


class Dropped(Given, frozen=True, kw_only=True):
    """How many messages go back to their senders."""

    messages: int


def shown(row: dict[str, Any]) -> Peer:
    """A pair as it is answered."""
    times = {
        name: None if row[name] is None else datetime.fromtimestamp(row[name], UTC)
        for name in ("oldest", "expires", "worked", "failed")
    }
    return Peer(**{**row, "bytes": int(row["bytes"]), **times})


async def _list(desk: Desk, taken: ListPeers) -> Peers:
    return Peers(items=[shown(row) for row in await federation.peers(desk, waiting=not taken.all)])


async def _get(desk: Desk, taken: OfRemote) -> Peers:
    return Peers(items=[shown(row) for row in await federation.find(desk, names.domain(taken.remote))])


async def _retry(desk: Desk, taken: OfRemote) -> None:
    await federation.retry(desk, names.domain(taken.remote))


async def _drop(desk: Desk, taken: OfRemote) -> Dropped:
    return Dropped(messages=await federation.drop(desk, names.domain(taken.remote)))


_ONE: Final = "/v1/s2s/{remote}"
VERBS: Final = (
    Verb("s2s.list", "s2s", "GET", "/v1/s2s", ListPeers, Peers, _list, "List what waits for other servers"),
    Verb("s2s.get", "s2s", "GET", _ONE, OfRemote, Peers, _get, "Show one remote domain", errors=(404,)),
    Verb("s2s.retry", "s2s", "POST", f"{_ONE}/retry", OfRemote, None, _retry, "Try to reach it now"),
    Verb(
        "s2s.drop",
        "s2s",
        "DELETE",
        f"{_ONE}/queue",
        OfRemote,
        Dropped,
        _drop,
        "Give up what waits for it: the senders get errors",
    ),
)
