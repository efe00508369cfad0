"""Requests of the usual shape are read as h11 reads them, and everything else is left to it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rookery.shared.observe import usual
from rookery.shared.observe.exchange import Exchange, HttpError, HttpLimits, Pause, Request, Response

GET = b"GET /a%20b?q=1&r=%41 HTTP/1.1\r\nHost: x.org\r\nX-Y:\t a  b \r\nX-Y: c\r\n\r\n"
POST = (
    b"POST /http-bind HTTP/1.1\r\nhost: x.org\r\nContent-Length: 7\r\nConnection: Keep-Alive\r\n\r\n<body/>"
)


def heard(data: bytes, *, pieces: int = 1, limits: HttpLimits = HttpLimits()) -> Request | Pause | int:  # noqa: B008
    """What a connection makes of bytes that come in so many pieces: of two or more only h11 makes something."""
    exchange = Exchange(limits, "192.0.2.1")
    step = max(1, -(-len(data) // pieces))
    for at in range(0, len(data), step):
        exchange.feed(data[at : at + step])
    try:
        return exchange.next()
    except HttpError as error:
        return error.status


@pytest.mark.parametrize("data", [GET, POST, POST.replace(b"7", b"07"), GET.replace(b"GET", b"POST")])
def test_it_is_read_as_h11_reads_it(data: bytes) -> None:
    assert usual.read(data, 16_384, 65_536) is not None
    found = heard(data)
    assert isinstance(found, Request)
    assert found == heard(data, pieces=2)


@pytest.mark.parametrize(
    "data",
    [
        b"", GET[:-2], POST[:-1], POST + b" ", POST + POST,
        GET.replace(b"GET", b"HEAD"), GET.replace(b"GET", b"get"), GET.replace(b"1.1", b"1.0"), GET.replace(b"/a", b"http://x.org/a"),
        GET.replace(b"Host: x.org\r\n", b""), GET.replace(b"Host: x.org\r\n", b"Host: x.org\r\nHost: y.org\r\n"),
        GET.replace(b"\r\n", b"\n"), GET.replace(b"X-Y:", b"X-Y :"), GET.replace(b"X-Y:", b" X-Y:"), GET.replace(b" b", b"\0b"),
        GET.replace(b" b ", b"\xe9"), GET.replace(b"X-Y", b"X(Y"), GET.replace(b" b \r\n", b" \r\n folded\r\n"),
        GET.replace(b"X-Y", b"Upgrade"), GET.replace(b"X-Y", b"Expect"), GET.replace(b"X-Y", b"TE"), GET.replace(b"X-Y: c", b"Connection: close"),
        POST.replace(b"host", b"Transfer-Encoding: chunked\r\nhost"), POST.replace(b"host", b"Content-Length: 7\r\nhost"),
        POST.replace(b" 7", b" +7"), POST.replace(b" 7", b" 7, 7"), POST.replace(b" 7", b" -1"), POST.replace(b" 7", b" 0x7"),
        POST.replace(b" 7", b""), POST.replace(b" 7", b" 8"), POST.replace(b" 7", b" 6"),
    ],
)  # fmt: skip
def test_what_is_not_plain_is_left_to_h11(data: bytes) -> None:
    assert usual.read(data, 16_384, 65_536) is None


def test_limits_are_those_of_the_connection() -> None:
    assert usual.read(GET, 20, 65_536) is None
    assert usual.read(POST, 16_384, 6) is None
    assert heard(POST, limits=HttpLimits(body_bytes=6)) == 413


@given(
    st.lists(
        st.sampled_from([GET, POST, b"x", b"\r\n", b" ", b":", b"7", b"HTTP/1.1", b"\0", b"Host: y\r\n"])
    )
)
def test_whatever_is_read_at_once_h11_reads_too(parts: list[bytes]) -> None:
    data = b"".join(parts)
    if usual.read(data, 16_384, 65_536) is not None:
        assert heard(data) == heard(data, pieces=3)


@pytest.mark.parametrize("first", [1, 2])
@pytest.mark.parametrize(
    "response", [Response(), Response(204), Response(404, b"no\n", "text/html", (("X", "y"), ("X", "z")))]
)
def test_answers_are_those_of_h11_and_both_may_take_turns(first: int, response: Response) -> None:
    exchange = Exchange(HttpLimits(requests=4), "")
    said = []
    for n in range(4):
        data = POST.replace(b"<body/>", b"<body>%d" % n)
        assert exchange.again() if n else True
        for part in [data] if (n + first) % 2 else [data[:30], data[30:]]:
            exchange.feed(part)
        found = exchange.next()
        assert isinstance(found, Request)
        assert found.body == b"<body>%d" % n
        said.append(exchange.answer(response))
    assert not exchange.again(), "it has served its number"
    assert said[0] == said[1] == said[2]
    assert b"\r\nConnection: close\r\n" in said[3]


def test_what_comes_behind_waits_for_its_turn() -> None:
    exchange = Exchange(HttpLimits(), "")
    exchange.feed(POST)
    assert isinstance(exchange.next(), Request)
    exchange.feed(GET)
    exchange.answer(Response())
    assert exchange.again()
    assert exchange.begun
    found = exchange.next()
    assert isinstance(found, Request)
    assert found.method == "GET"


def test_no_answer_breaks_its_lines() -> None:
    exchange = Exchange(HttpLimits(), "")
    exchange.feed(POST)
    exchange.next()
    with pytest.raises(ValueError, match="line break"):
        exchange.answer(Response(headers=(("X", "a\r\nSet-Cookie: b"),)))
