"""The HTTP server in memory: what it answers, and what bad or slow peers get."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
import trio.testing

from rookery.shared.observe.exchange import HttpLimits, Request, Response
from rookery.shared.observe.http import Routes, serve_connection


async def hello(request: Request) -> Response:
    return Response(
        body=f"{request.method} {request.query.get('q', '')} {request.headers.get('x-a', '')}".encode()
    )


async def echo(request: Request) -> Response:
    return Response(body=request.body)


async def broken(request: Request) -> Response:
    raise RuntimeError("secret detail")


async def preflight(request: Request) -> Response:
    return Response(204)


ROUTES: Routes = {
    ("GET", "/hello"): hello,
    ("POST", "/echo"): echo,
    ("GET", "/broken"): broken,
    ("OPTIONS", "/hello"): preflight,
}


async def talk(*chunks: bytes, limits: HttpLimits | None = None, eof: bool = True) -> bytes:
    """Send the chunks, then end of stream; everything that came back."""
    client, server = trio.testing.memory_stream_pair()
    answer = b""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: serve_connection(server, ROUTES, limits=limits))
        for chunk in chunks:
            await client.send_all(chunk)
            await trio.testing.wait_all_tasks_blocked()
        if eof:
            await client.send_eof()
        while data := await client.receive_some():
            answer += data
    return answer


async def test_get_answers_with_length_and_keeps_the_connection() -> None:
    one = b"GET /hello?q=%C3%A4 HTTP/1.1\r\nHost: x\r\nX-A: 1\r\nX-A: 2\r\n\r\n"
    answer = await talk(one + one)
    assert answer.count(b"HTTP/1.1 200 OK") == 2
    assert answer.endswith("GET ä 1, 2".encode())


async def test_head_has_the_length_but_no_body() -> None:
    answer = await talk(b"HEAD /hello HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"Content-Length: 6" in answer
    assert answer.endswith(b"\r\n\r\n")


async def test_no_content_says_no_length() -> None:
    answer = await talk(b"OPTIONS /hello HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b" 204 " in answer
    assert b"Content-Length" not in answer


async def test_body_is_read_and_continue_is_said() -> None:
    answer = await talk(
        b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n", b"12345"
    )
    assert answer.startswith(b"HTTP/1.1 100 ")
    assert answer.endswith(b"\r\n\r\n12345")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"DELETE /hello HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"GET /hello HTTP/1.1\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"GET /hello HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 20_000, 431),
        (
            b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
            400,
        ),
        (b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
        (b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\n\r\n" + b"a" * 70_000, 413),
        (b"GET /broken HTTP/1.1\r\nHost: x\r\n\r\n", 500),
    ],
)
async def test_bad_requests_get_their_status(request_: bytes, status: int) -> None:
    answer = await talk(request_)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert b"secret" not in answer


async def test_a_silent_peer_is_closed_without_a_word(autojump_clock: trio.testing.MockClock) -> None:
    assert await talk(eof=False) == b""
    assert trio.current_time() == pytest.approx(HttpLimits().idle_seconds, abs=2)


async def test_a_trickling_peer_is_told_and_closed(autojump_clock: trio.testing.MockClock) -> None:
    answer = await talk(b"GET /hello HT", eof=False)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert trio.current_time() < HttpLimits().idle_seconds


async def test_number_of_requests_is_bounded() -> None:
    answer = await talk(b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n" * 3, limits=HttpLimits(requests=2))
    assert answer.count(b"HTTP/1.1 200 OK") == 2
    assert answer.count(b"Connection: close") == 1


async def test_a_peer_that_resets_is_no_error(make_reset: Callable[[], trio.abc.Stream]) -> None:
    await serve_connection(make_reset(), ROUTES)


@pytest.fixture
def make_reset() -> Callable[[], trio.abc.Stream]:
    def reset() -> trio.abc.Stream:
        client, server = trio.testing.memory_stream_pair()
        client.send_stream.close()
        client.receive_stream.close()
        broken = trio.testing.MemoryReceiveStream(receive_some_hook=_raise)
        return trio.StapledStream(server.send_stream, broken)

    async def _raise() -> None:
        raise trio.BrokenResourceError

    return reset
