"""How fast an open port takes connections: the others wait in the kernel, and nobody spins for them."""

from __future__ import annotations

import socket
from typing import Any, cast

import pytest

from rookery.shared.net.listener import BURST, Listener
from rookery.shared.net.reactor import READ, Reactor
from rookery.shared.net.timers import NEVER


class FakeReactor:
    def __init__(self) -> None:
        self.now = 100.0
        self.mask = 0
        self.timer = NEVER

    def clock(self) -> float:
        return self.now

    def register(self, descriptor: int, handler: Any, mask: int) -> None:
        self.mask = mask

    def modify(self, descriptor: int, mask: int) -> None:
        self.mask = mask

    def unregister(self, descriptor: int) -> None:
        self.mask = 0

    def at(self, timed: Any, when: float) -> None:
        self.timer = when


@pytest.mark.parametrize("rate", [0, 10])
def test_a_port_takes_a_few_in_a_turn_and_keeps_its_pace(rate: int) -> None:
    reactor = FakeReactor()
    sock = socket.create_server(("127.0.0.1", 0))
    sock.setblocking(False)
    taken: list[socket.socket] = []
    listener = Listener(cast(Reactor, reactor), sock, 64, lambda one, address: taken.append(one), rate)
    clients = [socket.create_connection(sock.getsockname()) for _ in range(3 * BURST)]
    try:
        listener.on_events(READ)
        assert len(taken) == BURST
        listener.on_events(READ)
        if not rate:
            assert len(taken) == 2 * BURST
            return
        assert len(taken) == BURST
        assert reactor.mask == 0, "epoll does not tell again of those who wait"
        assert reactor.timer == pytest.approx(reactor.now + BURST / rate)
        reactor.now = reactor.timer + 0.001
        assert listener.on_timer(reactor.now) == NEVER
        assert reactor.mask == READ
        listener.on_events(READ)
        assert len(taken) == 2 * BURST
        listener.close()
        assert len(taken) == 3 * BURST, "who has connected is not reset"
    finally:
        for one in (*clients, *taken, sock):
            one.close()
