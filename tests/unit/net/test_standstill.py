"""A process that stood still reads nothing of what came meanwhile: its peers may have said newer things elsewhere."""

from __future__ import annotations

from tests.unit.net.rig import Recorder, rest, rig, wait_for
from trio.testing import MockClock


async def test_what_came_during_a_standstill_is_not_read(mock_clock: MockClock) -> None:
    mock_clock.rate = 1.0
    async with rig(standstill=1000.0) as lab:
        told: list[str] = []
        lab.reactor.on_standstill = lambda: told.append("standstill")
        peer = Recorder()
        _, other = await lab.accepted(peer)
        await other.send_all(b"before")
        await wait_for(lambda: peer.data == b"before")
        mock_clock.jump(5000.0)
        await other.send_all(b"after it was given up")
        await wait_for(lambda: peer.lost)
        assert (peer.data, peer.lost, told) == (b"before", ["frozen"], ["standstill"])
        assert await rest(other) == b""
        # Who comes afterwards is served.
        newer = Recorder()
        _, other = await lab.accepted(newer)
        await other.send_all(b"anew")
        await wait_for(lambda: newer.data == b"anew")


async def test_a_short_pause_is_no_standstill(mock_clock: MockClock) -> None:
    mock_clock.rate = 1.0
    async with rig(standstill=1000.0) as lab:
        peer = Recorder()
        _, other = await lab.accepted(peer)
        await other.send_all(b"one")
        await wait_for(lambda: peer.data == b"one")
        mock_clock.jump(900.0)
        await other.send_all(b" two")
        await wait_for(lambda: peer.data == b"one two")
        assert peer.lost == []
