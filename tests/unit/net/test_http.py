"""HTTP on channels: what it answers, what bad or slow clients get, answers that come later, other protocols."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import trio
from tests.unit.net.rig import Recorder, Rig, rest, rig, wait_for

from rookery.shared.net.channel import Channel
from rookery.shared.net.http import Answer, Handler, HttpConnection, Switch
from rookery.shared.net.transport import UNPARSED
from rookery.shared.observe.exchange import HttpLimits, Request, Response

HELLO = b"GET /hello?q=%C3%A4 HTTP/1.1\r\nHost: x\r\n\r\n"


class Pages:
    """A site of the tests."""

    def __init__(self, limits: HttpLimits) -> None:
        self.limits = limits
        self.gone: list[HttpConnection] = []
        self.asking: list[HttpConnection] = []
        self.taken: list[tuple[Channel, bytes]] = []
        self.next = Recorder()
        self.routes: Mapping[tuple[str, str], Handler] = {
            ("GET", "/hello"): self._hello,
            ("POST", "/echo"): lambda request, client: Response(body=request.body),
            ("GET", "/broken"): self._broken,
            ("GET", "/later"): self._later,
            ("GET", "/other"): self._other,
        }

    def left(self, client: HttpConnection) -> None:
        self.gone.append(client)

    def _hello(self, request: Request, client: HttpConnection) -> Answer:
        return Response(body=f"{request.query['q']} {request.peer} {client.secure}".encode())

    def _broken(self, request: Request, client: HttpConnection) -> Answer:
        raise RuntimeError("secret detail")

    def _later(self, request: Request, client: HttpConnection) -> None:
        self.asking.append(client)

    def _other(self, request: Request, client: HttpConnection) -> Answer:
        def begin(channel: Channel, behind: bytes) -> None:
            channel.peer = self.next
            self.taken.append((channel, behind))

        return Switch([("Upgrade", "other"), ("Connection", "Upgrade")], begin)


async def opened(lab: Rig, limits: HttpLimits | None = None) -> tuple[Pages, trio.SocketStream]:
    pages = Pages(limits or HttpLimits())
    sock, other = await lab.pair()
    client = HttpConnection(lab.reactor, pages, "192.0.2.7", 5.0)
    client.channel = Channel(lab.reactor, sock, client, lab.terms)
    client.start()
    return pages, other


async def talk(*chunks: bytes, limits: HttpLimits | None = None, eof: bool = True) -> bytes:
    """Send the chunks, then the end; everything that came back."""
    async with rig() as lab:
        pages, other = await opened(lab, limits)
        for chunk in chunks:
            await other.send_all(chunk)
            await trio.sleep(0.005)
        if eof:
            await other.send_eof()
        answer = await rest(other)
        await wait_for(lambda: len(pages.gone) == 1)
        assert not lab.reactor._sources
        return answer


async def test_requests_that_come_together_are_answered_in_order() -> None:
    answer = await talk(HELLO * 50 + HELLO.replace(b"%C3%A4", b"z"))
    assert answer.count(b"HTTP/1.1 200 OK") == 51
    assert answer.endswith(b"z 192.0.2.7 False")


async def test_a_request_in_pieces_and_continue() -> None:
    head = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
    answer = await talk(head[:20], head[20:], b"12", b"345")
    assert answer.startswith(b"HTTP/1.1 100 ")
    assert answer.endswith(b"\r\n\r\n12345")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"DELETE /hello HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"GET /hello HTTP/1.1\r\n\r\n", 400),
        (b"<stream:stream to='x'>\r\n\r\n", 400),
        (b"GET /hello HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 20_000, 431),
        (b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\n\r\n" + b"a" * 70_000, 413),
        (b"GET /broken HTTP/1.1\r\nHost: x\r\n\r\n", 500),
    ],
)
async def test_bad_requests_get_their_status(request_: bytes, status: int) -> None:
    answer = await talk(request_)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert b"secret" not in answer


async def test_a_silent_client_is_closed_without_a_word() -> None:
    assert await talk(eof=False, limits=HttpLimits(idle_seconds=0.2)) == b""


async def test_a_trickling_client_is_told_and_closed() -> None:
    limits = HttpLimits(request_seconds=0.3)
    answer = await talk(b"GET /h", b"ello", b" HT", eof=False, limits=limits)
    assert answer.startswith(b"HTTP/1.1 408 ")


async def test_number_of_requests_is_bounded() -> None:
    answer = await talk(HELLO * 3, limits=HttpLimits(requests=2))
    assert answer.count(b"HTTP/1.1 200 OK") == 2
    assert answer.count(b"Connection: close") == 1


async def test_a_client_that_does_not_read_its_answers_is_closed() -> None:
    async with rig() as lab:
        pages, other = await opened(lab, HttpLimits(write_seconds=0.3, body_bytes=2_000_000))
        body = b"a" * 1_000_000
        head = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
        with trio.move_on_after(5):
            try:
                while not pages.gone:
                    await other.send_all(head + body)
            except trio.BrokenResourceError:
                pass
        await wait_for(lambda: pages.gone)


async def test_an_answer_may_come_later() -> None:
    async with rig() as lab:
        pages, other = await opened(lab)
        await other.send_all(b"GET /later HTTP/1.1\r\nHost: x\r\n\r\n" + HELLO)
        await wait_for(lambda: pages.asking)
        await trio.sleep(0.02)
        pages.asking[0].reply(Response(body=b"at last"))
        await other.send_eof()
        answer = await rest(other)
        assert answer.index(b"at last") < answer.index("ä".encode())


async def test_nobody_waits_for_an_answer_any_more() -> None:
    async with rig() as lab:
        pages, other = await opened(lab)
        await other.send_all(b"GET /later HTTP/1.1\r\nHost: x\r\n\r\n")
        await wait_for(lambda: pages.asking)
        pages.asking[0].channel.abort("shutdown")
        pages.asking[0].reply(Response(body=b"too late"))
        assert await rest(other) == b""


async def test_another_protocol_gets_what_came_behind_the_request() -> None:
    async with rig() as lab:
        pages, other = await opened(lab)
        upgrade = b"GET /other HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n"
        await other.send_all(HELLO + upgrade + b"ta")
        await wait_for(lambda: pages.taken)
        channel, behind = pages.taken[0]
        assert (behind, channel.held & UNPARSED) == (b"ta", 0)
        await other.send_all(b"il")
        await wait_for(lambda: pages.next.data == b"il")
        await other.aclose()
        await wait_for(lambda: pages.next.lost)
        assert pages.gone == []
