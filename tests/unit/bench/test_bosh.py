"""The driver's sessions of BOSH: requests on two connections, answers in their order, whatever the server does with connections."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

import pytest

from rookery.bench.driver.bosh import Bosh
from rookery.bench.driver.loop import Loop
from rookery.bench.driver.target import Target
from rookery.bench.plan import make

CREATED = "<body sid='S' wait='60' xmlns='http://jabber.org/protocol/httpbind'><features/></body>"


class Server:
    """A port whose requests are read and answered by the test."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.open: list[socket.socket] = []

    def accept(self) -> socket.socket:
        self.listener.settimeout(5)
        sock, _ = self.listener.accept()
        sock.settimeout(5)
        self.open.append(sock)
        return sock

    @staticmethod
    def request(sock: socket.socket) -> str:
        data = b""
        while b"</body>" not in data:
            data += sock.recv(65_536)
        return data.partition(b"\r\n\r\n")[2].decode()

    @staticmethod
    def answer(sock: socket.socket, body: str) -> None:
        sock.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())


class Session:
    """A session with its loop."""

    def __init__(self, server: Server) -> None:
        self.loop = Loop()
        plan = make({"scenario": "chat", "transport": "bosh", "target": f"127.0.0.1:{server.port}"})
        raw = socket.create_connection(("127.0.0.1", server.port))
        raw.setblocking(False)
        self.heard = b""
        self.ended = False
        self.raw = raw
        self.bosh = Bosh(self.loop, Target(plan), raw, self.ready, lambda: None)
        self.loop.add(raw.fileno(), 1, self.ready)

    def ready(self, _events: int) -> None:
        try:
            heard = self.bosh.recv(65_536)
        except BlockingIOError:
            return
        self.heard += heard
        self.ended = self.ended or not heard

    def turn(self, seconds: float = 0.2) -> bytes:
        self.loop.at(self.loop.clock() + int(seconds * 1e9), lambda _now: self.loop.stop())
        self.loop.run()
        heard, self.heard = self.heard, b""
        return heard


@pytest.fixture
def pair() -> Iterator[tuple[Server, Session]]:
    server = Server()
    session = Session(server)
    yield server, session
    session.bosh.close()
    session.raw.close()
    session.loop.close()
    for sock in (*server.open, server.listener):
        sock.close()


def begun(server: Server, session: Session) -> socket.socket:
    """A session that has its first answer; returns the connection of its first request."""
    session.bosh.send(b"<open/>")
    first = server.accept()
    assert "xmpp:version='1.0'" in server.request(first)
    server.answer(first, CREATED)
    assert session.turn() == b"<features/>"
    return first


def test_one_request_waits_and_another_speaks(pair: tuple[Server, Session]) -> None:
    server, session = pair
    first = begun(server, session)
    poll = server.request(first)
    assert "sid='S'" in poll
    session.bosh.send(b"<message id='1'/>")
    session.turn(0.05)
    second = server.accept()
    said = server.request(second)
    assert "<message id='1'/>" in said
    rids = [int(re.findall(r"rid='(\d+)'", body)[0]) for body in (poll, said)]
    assert rids[1] == rids[0] + 1
    # Both are under way: what comes now waits. Answers count in the order of their requests.
    session.bosh.send(b"<message id='2'/>")
    session.bosh.send(b"<message id='3'/>")
    server.answer(second, "<body><message id='b'/></body>")
    assert session.turn(0.1) == b""
    server.answer(first, "<body><message id='a'/></body>")
    assert session.turn() == b"<message id='a'/><message id='b'/>"
    assert "<message id='2'/><message id='3'/>" in server.request(first)


def test_a_connection_that_the_server_ends_is_followed_by_another(pair: tuple[Server, Session]) -> None:
    server, session = pair
    first = begun(server, session)
    server.request(first)
    session.bosh.send(b"<message id='1'/>")
    session.turn(0.05)
    second = server.accept()
    server.request(second)
    server.answer(first, "<body/>")
    first.close()
    session.turn()
    session.bosh.send(b"<message id='2'/>")
    session.turn(0.05)
    assert "<message id='2'/>" in server.request(server.accept())


def test_the_end_of_a_session_is_the_end(pair: tuple[Server, Session]) -> None:
    server, session = pair
    first = begun(server, session)
    server.request(first)
    server.answer(first, "<body type='terminate' condition='item-not-found'/>")
    session.turn(0.05)
    assert session.ended
