"""After our last words: the other side has a moment to read them, and no more than that to go on."""

from __future__ import annotations

import socket

import trio
from tests.unit.net.rig import Recorder, rig, wait_for

from rookery.shared.net.channel import LINGER_BYTES, Channel


async def test_who_goes_on_without_an_end_is_cut_off() -> None:
    async with rig() as lab:
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        peer = Recorder()
        channel = Channel(lab.reactor, ours, peer, lab.terms)
        channel.write(b"</stream:stream>")
        channel.finish()
        await wait_for(lambda: channel.state.name == "LINGER")
        sent = 0
        with trio.fail_after(5):
            while not peer.lost:
                try:
                    sent += theirs.send(b"x" * 65_536)
                except BlockingIOError:
                    pass
                except OSError:
                    break
                await trio.lowlevel.checkpoint()
        await wait_for(lambda: peer.lost)
        assert peer.lost == ["closed"]
        assert peer.data == b""
        assert LINGER_BYTES <= sent < 2 * LINGER_BYTES
        assert theirs.recv(100) == b"</stream:stream>"
        theirs.close()
