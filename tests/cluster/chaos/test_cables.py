"""Cables carry bytes in order, hold those of one process back, and turn whole messages of NATS only."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Iterator
from threading import Thread

import pytest
from tests.cluster.chaos.cables import Cable, Frames, mixed

MESSAGE = b"MSG a.b 1 5\r\nhe\r\no\r\n"


def test_messages_are_told_from_the_rest_however_the_bytes_come() -> None:
    data = b"INFO {}\r\n" + MESSAGE + b"PING\r\n" + b"MSG a 2 reply 0\r\n\r\n"
    wanted = [
        (False, b"INFO {}\r\n"),
        (True, MESSAGE),
        (False, b"PING\r\n"),
        (True, b"MSG a 2 reply 0\r\n\r\n"),
    ]
    assert Frames().feed(data) == wanted
    frames = Frames()
    assert [one for at in range(len(data)) for one in frames.feed(data[at : at + 1])] == wanted


def test_mixing_repeats_and_turns_messages_and_loses_none() -> None:
    frames = [(True, b"%d" % n) for n in range(200)]
    out, changes = mixed(frames, 0.2, random.Random(1))
    assert set(out) == {frame for _, frame in frames}
    assert len(out) > len(frames)
    assert [one for at, one in enumerate(out) if one not in out[:at]] != [frame for _, frame in frames]
    assert changes > 0
    assert mixed(frames, 0.0, random.Random(1)) == ([frame for _, frame in frames], 0)


@pytest.fixture
def ends() -> Iterator[tuple[Cable, socket.socket, socket.socket]]:
    """A cable with one connection: (the cable, this side, the server's side)."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        cable = Cable(server.getsockname()[1])
        try:
            with socket.create_connection(("127.0.0.1", cable.port)) as near:
                far, _ = server.accept()
                near.settimeout(5)
                far.settimeout(0.3)
                with far:
                    yield cable, near, far
        finally:
            cable.close()


def test_what_is_held_comes_later_and_in_order(ends: tuple[Cable, socket.socket, socket.socket]) -> None:
    cable, near, far = ends
    near.sendall(b"1")
    assert far.recv(10) == b"1"
    cable.hold([os.getpid()], down=False)
    near.sendall(b"2")
    with pytest.raises(TimeoutError):
        far.recv(10)
    far.sendall(b"other way")
    assert near.recv(10) == b"other way"
    near.sendall(b"3")
    cable.let_go()
    far.settimeout(5)
    got = b""
    while len(got) < 2:
        got += far.recv(10)
    assert got == b"23"


def test_another_process_is_not_held(ends: tuple[Cable, socket.socket, socket.socket]) -> None:
    cable, near, far = ends
    far.settimeout(5)
    cable.hold([1])
    near.sendall(b"1")
    assert far.recv(10) == b"1"


def test_an_end_of_one_side_is_told_to_the_other(ends: tuple[Cable, socket.socket, socket.socket]) -> None:
    _, near, far = ends
    far.settimeout(5)
    writer = Thread(target=near.sendall, args=(bytes(3_000_000),))
    writer.start()
    size = 0
    while size < 3_000_000:
        size += len(far.recv(65536))
    writer.join()
    near.close()
    assert far.recv(10) == b""
