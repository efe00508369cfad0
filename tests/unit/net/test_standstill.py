"""A process that stood still reads nothing of what came meanwhile: its peers may have said newer things elsewhere."""

from __future__ import annotations

import time

from tests.unit.net.rig import Recorder, rest, rig, wait_for


async def test_what_came_during_a_standstill_is_not_read() -> None:
    async with rig(standstill=1.5) as lab:
        told: list[str] = []
        lab.reactor.on_standstill = lambda: told.append("standstill")
        peer = Recorder()
        _, other = await lab.accepted(peer)
        await other.send_all(b"before")
        await wait_for(lambda: peer.data == b"before")
        await other.send_all(b"after it was given up")
        time.sleep(2.2)  # noqa: ASYNC251  this process stands still
        await wait_for(lambda: peer.lost)
        assert (peer.data, peer.lost, told) == (b"before", ["frozen"], ["standstill"])
        assert await rest(other) == b""
        # Who comes afterwards is served.
        newer = Recorder()
        _, other = await lab.accepted(newer)
        await other.send_all(b"anew")
        await wait_for(lambda: newer.data == b"anew")


async def test_a_short_pause_is_no_standstill() -> None:
    async with rig(standstill=5.0) as lab:
        peer = Recorder()
        _, other = await lab.accepted(peer)
        await other.send_all(b"one")
        await wait_for(lambda: peer.data == b"one")
        time.sleep(0.7)  # noqa: ASYNC251
        await other.send_all(b" two")
        await wait_for(lambda: peer.data == b"one two")
        assert peer.lost == []
