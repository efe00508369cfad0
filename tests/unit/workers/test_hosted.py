"""Patience with the database, and who is told what when it ends."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import pytest
import trio

from rookery.shared.bus.kinds import KINDS
from rookery.shared.bus.messages import (
    Accepted,
    ContactRemoved,
    Done,
    GetCredentials,
    GetDomains,
    Kind,
    LastSeen,
    Origin,
    Route,
)
from rookery.shared.cluster.fake import FakeCluster, FakeNode
from rookery.shared.db.api import DatabaseUnavailable, Fenced
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.hosted import Answerer, DeadlineError, Handler, HostedWorker, uid

ORIGIN = Origin(b"s" * 16, 7, "edge1")
IQ = Stanza.build("iq", type="get", from_="a@x/r", to="x", id="1")


class FakeDatabase:
    """Fails with these errors one after the other, then works."""

    healthy = True

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)

    async def run(self, partition: int, work: Any, *, op: str = "") -> Any:
        await trio.lowlevel.checkpoint()
        if self.errors:
            raise self.errors.pop(0)
        return await work(None)


async def value(_conn: object) -> int:
    return 5


class Worker(HostedWorker):
    kind = Kind.ACCOUNT


def build(*errors: Exception) -> tuple[FakeCluster, HostedWorker]:
    cluster = FakeCluster(clock=lambda: 0.0)
    cluster.node("edge1", Kind.EDGE)
    cluster.node("router1", Kind.ROUTER)
    node = cluster.node("worker1", Kind.ACCOUNT, db=FakeDatabase(*errors))
    return cluster, Worker(node)


def outcome(cluster: FakeCluster) -> tuple[list[str], list[int]]:
    """(types of the answers that were routed, numbers that were accepted)."""
    cluster.network.settle()
    routed = [i[4].stanza.type for i in cluster.nodes["router1"].received if isinstance(i[4], Route)]
    accepted = [i[4] for i in cluster.nodes["edge1"].received]
    return routed, [n for item in accepted if isinstance(item, Accepted) for _, n in item.uids]


async def test_it_waits_for_postgres(autojump_clock: object) -> None:
    _, worker = build(*[DatabaseUnavailable()] * 5)
    assert await worker.database(0, value) == 5


async def test_it_waits_no_longer_than_the_deadline(autojump_clock: object) -> None:
    _, worker = build(*[DatabaseUnavailable()] * 5)
    with pytest.raises(DeadlineError):
        await worker.database(0, value, int(time.time() * 1000) - 1)


async def test_a_closed_fence_stops_the_process() -> None:
    cluster, worker = build(Fenced())
    with pytest.raises(Fenced):
        await worker.database(0, value)
    assert cluster.nodes["worker1"].failures


async def answer(worker: HostedWorker, error: Exception | None, result: Stanza | None = None) -> None:
    async def work() -> Stanza | None:
        if error is not None:
            raise error
        return result

    await worker.serve_iq(ORIGIN, IQ, work)


@pytest.mark.parametrize(
    ("error", "result", "routed", "accepted"),
    [
        (None, IQ.result(), ["result"], [7]),
        (None, None, [], [7]),  # it answered by itself
        (StanzaError("not-allowed"), None, ["error"], [7]),
        (DeadlineError(), None, [], [7]),  # the edge has answered already
        (Fenced(), None, [], []),  # the next holder will
    ],
)
async def test_each_request_has_one_answer(
    error: Exception | None, result: Stanza | None, routed: list[str], accepted: list[int]
) -> None:
    cluster, worker = build()
    await answer(worker, error, result)
    assert outcome(cluster) == (routed, accepted)


async def test_a_bug_is_an_internal_error_without_details() -> None:
    cluster, worker = build()
    await answer(worker, RuntimeError("secret detail"))
    assert outcome(cluster) == (["error"], [7])
    inner = cluster.nodes["router1"].received[0][4].stanza.inner  # type: ignore[union-attr]
    assert b"internal-server-error" in inner
    assert b"secret" not in inner


def test_a_uid_is_empty_for_what_the_server_made() -> None:
    assert uid(ORIGIN) == b"s" * 16 + (7).to_bytes(8, "big")
    assert uid(Origin(b"", 0, "")) == b""


# --- dispatch and addresses -------------------------------------------------------------------------------------------


class Tables(HostedWorker):
    kind = Kind.ACCOUNT

    def __init__(self, node: FakeNode) -> None:
        self.got: list[object] = []
        super().__init__(node)

    def items(self) -> Mapping[type, Handler]:
        return {LastSeen: lambda partition, item: self.got.append((partition, item))}

    def calls(self) -> Mapping[type, Answerer]:
        return {GetDomains: lambda partition, call, request: self.node.bus.reply(call, Done())}


async def test_items_and_calls_go_to_what_the_tables_name() -> None:
    cluster = FakeCluster(clock=lambda: 0.0)
    edge = cluster.node("edge1", Kind.EDGE)
    node = cluster.node("worker1", Kind.ACCOUNT)
    worker = Tables(node)
    node.serve(worker)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(cluster.network.run)
        edge.bus.post(Kind.ACCOUNT, 3, LastSeen("a@x", 1, ""))
        edge.bus.post(Kind.ACCOUNT, 3, ContactRemoved("a@x", "b@x"))
        assert await edge.bus.call(Kind.ACCOUNT, 3, GetDomains()) == Done()
        # An item of the table is no request.
        for unasked in (LastSeen("a@x", 1, ""), GetCredentials("a@x", "PLAIN")):
            with pytest.raises(StanzaError, match="feature-not-implemented"):
                await edge.bus.call(Kind.ACCOUNT, 3, unasked)
        nursery.cancel_scope.cancel()
    assert worker.got == [(3, LastSeen("a@x", 1, ""))]


def test_stanzas_go_to_whoever_serves_their_address(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster, worker = build()
    room = cluster.node("muc1", Kind.MUC)
    worker.addresses.learn({"x": "accounts", "rooms.x": "rooms"})
    invitation = Stanza.build("message", from_="a@x", to="r@rooms.x/nick")
    with monkeypatch.context() as former:
        former.setitem(KINDS, Kind.MUC, KINDS[Kind.MUC]._replace(service=""))
        worker.route(invitation)  # a router refuses what is not built
    worker.route(invitation)
    worker.route(invitation.replace(to="x"))
    cluster.network.settle()
    assert [one[4].stanza.to for one in room.received] == ["r@rooms.x/nick"]  # type: ignore[union-attr]
    routed = [one[4].stanza.to for one in cluster.nodes["router1"].received]  # type: ignore[union-attr]
    assert sorted(routed) == ["r@rooms.x/nick", "x"]


def test_after_its_deadline_a_request_is_accepted_and_not_answered() -> None:
    """Its edge has answered it: the client has what it waits for."""
    cluster, worker = build()
    now = int(time.time() * 1000)
    worker.answer(ORIGIN._replace(deadline=now + 60_000), IQ.result())
    worker.answer(ORIGIN._replace(n=8, deadline=now - 1), IQ.result())
    assert outcome(cluster) == (["result"], [7, 8])


def test_what_is_passed_on_is_accepted_when_the_next_one_has_it() -> None:
    cluster, worker = build()
    subscribe = Stanza.build("presence", type="subscribe", to="b@x", from_="a@x")
    worker.pass_on(3, subscribe, ORIGIN)
    cluster.network.settle()
    (item,) = [i[4] for i in cluster.nodes["router1"].received]
    assert isinstance(item, Route)
    assert item.origin == ORIGIN._replace(custodian="worker1")
    assert outcome(cluster)[1] == []
    assert not worker.once.is_done(ORIGIN)
    cluster.nodes["router1"].bus.post_to("worker1", Accepted([(ORIGIN.stream, ORIGIN.n)]))
    assert outcome(cluster)[1] == [7]
    assert worker.once.is_done(ORIGIN)


def test_what_is_passed_on_goes_to_the_next_holder_also_when_the_partition_that_it_came_to_was_given_away() -> (
    None
):
    """Its next holder sends it again; what came later must not arrive before it. That it is accepted concerns nobody here any more."""
    cluster, worker = build()
    subscribe = Stanza.build("presence", type="subscribe", to="b@x", from_="a@x")
    worker.pass_on(3, subscribe, ORIGIN)
    worker.pass_on(4, subscribe, ORIGIN._replace(n=8))
    cluster.network.settle()
    worker.forget(4)
    cluster.lose("router1")
    successor = cluster.node("router2", Kind.ROUTER)
    cluster.network.settle()
    assert [i[4].origin.n for i in successor.received if isinstance(i[4], Route)] == [7, 8]
    successor.bus.post_to("worker1", Accepted([(ORIGIN.stream, 7), (ORIGIN.stream, 8)]))
    cluster.network.settle()
    told = [i[4] for i in cluster.nodes["edge1"].received if isinstance(i[4], Accepted)]
    assert [n for item in told for _, n in item.uids] == [7]
