"""HTTP/1.1 without I/O: the same requests in whatever pieces they come, and nothing that could be read in two ways (RFC 9112)."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rookery.shared.observe.exchange import Exchange, HttpError, HttpLimits, Pause, Request, Response
from rookery.shared.observe.requests import KNOWN_BYTES, KNOWN_HEADS, KnownHeads

GET = b"GET /a%20b?q=1&r=%41 HTTP/1.1\r\nHost: x.org\r\nX-Y:\t a  b \r\nX-Y: c\r\n\r\n"
POST = (
    b"POST /http-bind HTTP/1.1\r\nhost: x.org\r\nContent-Length: 7\r\nConnection: Keep-Alive\r\n\r\n<body/>"
)
CHUNKS = b"POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n1\r\nd\r\n0\r\nX-Y: t\r\n\r\n"


def heard(
    data: bytes, *, cuts: tuple[int, ...] = (), limits: HttpLimits | None = None
) -> list[Request | int]:
    """What a connection makes of bytes that come in pieces: its requests, each answered, and the status of what is refused."""
    exchange = Exchange(limits or HttpLimits(), "192.0.2.1")
    found: list[Request | int] = []
    ends = sorted({cut for cut in cuts if 0 < cut < len(data)} | {len(data)})
    for start, end in zip([0, *ends], ends, strict=False):
        exchange.feed(data[start:end])
        try:
            while isinstance(one := exchange.next(), Request):
                found.append(one)
                exchange.answer(Response())
                if not exchange.again():
                    return found
        except HttpError as error:
            return [*found, error.status]
    return found


def test_a_request_is_what_its_client_wrote() -> None:
    get, post, chunked = heard(GET + POST + CHUNKS)
    assert get == Request(
        "GET", "/a b", {"q": "1", "r": "A"}, {"host": "x.org", "x-y": "a  b, c"}, b"", "192.0.2.1", "/a%20b?q=1&r=%41"
    )  # fmt: skip
    assert isinstance(post, Request)
    assert (post.method, post.body, post.headers["content-length"]) == ("POST", b"<body/>", "7")
    assert isinstance(chunked, Request)
    assert (chunked.body, "x-y" in chunked.headers) == (b"abcd", False)


@given(
    st.lists(st.sampled_from([GET, POST, CHUNKS, b"\r\n", b"FOO / HTTP/1.1\r\n"]), min_size=1, max_size=4),
    st.lists(st.integers(1, 400), max_size=6),
)
def test_pieces_change_nothing(parts: list[bytes], cuts: list[int]) -> None:
    data = b"".join(parts)
    whole, pieces = heard(data), heard(data, cuts=tuple(cuts))
    # (a method that is cut cannot be told from no method at all)
    assert [501 if one == 400 else one for one in pieces] == [501 if one == 400 else one for one in whole]


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (POST.replace(b"host", b"Transfer-Encoding: chunked\r\nhost"), 400),
        (POST.replace(b"host", b"Content-Length: 7\r\nhost"), 400),
        (POST.replace(b" 7", b" +7"), 400), (POST.replace(b" 7", b" 7, 7"), 400), (POST.replace(b" 7", b" -1"), 400),
        (POST.replace(b" 7", b" 0x7"), 400), (POST.replace(b" 7", b" 7 7"), 400),
        (CHUNKS.replace(b"chunked", b"chunked, identity"), 400), (CHUNKS.replace(b"chunked", b"gzip"), 501),
        (CHUNKS.replace(b"chunked", b"gzip, chunked"), 501), (CHUNKS.replace(b"3;", b"+3;"), 400), (CHUNKS.replace(b"a=b\r\n", b"a=b\n"), 400),
        (CHUNKS.replace(b"chunked", b"chunked\r\nTransfer-Encoding: chunked"), 400),
        (GET.replace(b"Host: x.org\r\n", b""), 400), (GET.replace(b"X-Y: c", b"Host: x.org"), 400),
        (GET.replace(b"\r\n", b"\n"), 400), (GET.replace(b"X-Y:", b"X-Y :"), 400), (GET.replace(b"Host", b" Host"), 400),
        (GET.replace(b" b", b"\0b"), 400), (GET.replace(b"X-Y", b"X(Y"), 400), (GET.replace(b" b \r\n", b" \r\n folded\r\n"), 400),
        (GET.replace(b"/a", b"/\xe9"), 400), (GET.replace(b"1.1", b"2.0"), 505), (GET.replace(b"1.1", b"1.11"), 400),
        (GET.replace(b"GET", b"get"), 400), (GET.replace(b"GET", b"BREW"), 501), (b"\x16\x03\x01\r\n\r\n", 400),
    ],
)  # fmt: skip
def test_what_could_be_read_in_two_ways_is_refused(data: bytes, status: int) -> None:
    assert heard(data + GET) == [status]


@pytest.mark.parametrize("cuts", [(), (30,), tuple(range(1000))])
def test_sizes_are_limited(cuts: tuple[int, ...]) -> None:
    limits = HttpLimits(head_bytes=200, body_bytes=6)
    assert len(heard(GET * 3, cuts=cuts, limits=limits)) == 3
    for endless in (b"GET /" + b"a" * 1000, GET[:-2] + b"X: " + b"a" * 1000, GET[:-2] + b"X: 1\r\n" * 200):
        assert heard(endless, cuts=cuts, limits=limits) == [431]
    assert heard(POST, cuts=cuts, limits=limits) == [413]
    assert heard(CHUNKS.replace(b"1\r\nd", b"4\r\ndefg"), cuts=cuts, limits=limits) == [413]


def test_a_client_that_asks_first_is_told_before_it_sends() -> None:
    exchange = Exchange(HttpLimits(body_bytes=10))
    exchange.feed(POST.replace(b"host", b"Expect: 100-Continue\r\nhost")[: -len(b"<body/>")])
    assert exchange.next() is Pause.CONTINUE
    assert exchange.proceed() == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert exchange.next() is Pause.NEED_DATA
    exchange.feed(b"<body/>")
    assert isinstance(exchange.next(), Request)
    large = POST.replace(b" 7", b" 70000").replace(b"host", b"Expect: 100-continue\r\nhost")
    assert heard(large[: -len(b"<body/>")]) == [413]


@pytest.mark.parametrize("last", [b"Connection: close", b"HTTP/1.0"])
def test_the_last_request_is_the_last(last: bytes) -> None:
    data = GET.replace(b"HTTP/1.1", last) if last.startswith(b"HTTP") else GET.replace(b"X-Y: c", last)
    exchange = Exchange(HttpLimits())
    exchange.feed(data + GET)
    assert isinstance(exchange.next(), Request)
    assert b"\r\nConnection: close\r\n" in exchange.answer(Response())
    assert not exchange.again()


def test_a_connection_serves_its_number() -> None:
    exchange = Exchange(HttpLimits(requests=3))
    said = []
    for n in range(3):
        assert exchange.again() if n else True
        exchange.feed(POST)
        assert isinstance(exchange.next(), Request)
        said.append(exchange.answer(Response(404, b"no\n", "text/html", (("X", "y"), ("X", "z")))))
    assert not exchange.again()
    assert said[0] == said[1]
    assert said[0].startswith(b"HTTP/1.1 404 Not Found\r\nDate: ")
    assert said[0].endswith(b"\r\nX: y\r\nX: z\r\nContent-Type: text/html\r\nContent-Length: 3\r\n\r\nno\n")
    assert [b"\r\nConnection: close\r\n" in one for one in said] == [False, False, True]


def test_who_is_not_given_another_protocol_goes_on_in_this_one() -> None:
    upgrade = GET.replace(b"X-Y: c", b"Connection: Upgrade\r\nUpgrade: h2c")
    found = heard(POST + upgrade + GET)
    assert [one.method for one in found if isinstance(one, Request)] == ["POST", "GET", "GET"]
    exchange = Exchange(HttpLimits())
    exchange.feed(POST + upgrade + b"ra")
    for _ in range(2):
        assert isinstance(exchange.next(), Request)
        exchange.feed(b"w")
        if _ == 0:
            exchange.answer(Response())
            assert exchange.again()
    assert exchange.switch([("Upgrade", "h2c")]).startswith(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n"
    )
    assert exchange.rest == b"raww"
    assert exchange.refuse(408) == b""


def test_a_tunnel_is_not_to_be_had() -> None:
    exchange = Exchange(HttpLimits())
    exchange.feed(b"CONNECT x.org:22 HTTP/1.1\r\nHost: x.org\r\n\r\nSSH")
    assert isinstance(exchange.next(), Request)
    exchange.answer(Response(405))
    assert not exchange.again()


def test_head_has_no_body_and_the_end_is_the_end() -> None:
    exchange = Exchange(HttpLimits())
    exchange.feed(GET.replace(b"GET", b"HEAD"))
    assert isinstance(exchange.next(), Request)
    assert exchange.answer(Response(body=b"abc")).endswith(b"Content-Length: 3\r\n\r\n")
    assert exchange.again()
    exchange.feed(b"")
    assert exchange.next() is Pause.CLOSED
    exchange = Exchange(HttpLimits())
    exchange.feed(POST[:-1])
    exchange.feed(b"")
    with pytest.raises(HttpError, match="Bad Request"):
        exchange.next()
    assert exchange.refuse(400).startswith(b"HTTP/1.1 400 ")
    assert exchange.refuse(400) == b""


def test_no_answer_breaks_its_lines() -> None:
    exchange = Exchange(HttpLimits(), "")
    exchange.feed(POST)
    exchange.next()
    with pytest.raises(ValueError, match="line break"):
        exchange.answer(Response(headers=(("X", "a\r\nSet-Cookie: b"),)))


def test_a_known_head_is_read_as_the_parser_reads_it() -> None:
    first, second = POST[:-7] + b"<body/>", POST[:-7] + b"<bodyx>"
    exchange = Exchange(HttpLimits(), "192.0.2.1")
    bodies = []
    for data in (first, second, second):
        exchange.feed(data)
        request = exchange.next()
        assert isinstance(request, Request)
        bodies.append(request.body)
        exchange.answer(Response())
        assert exchange.again()
    assert bodies == [b"<body/>", b"<bodyx>", b"<bodyx>"]
    # Another client's request has its own address, and its own limits hold.
    other = Exchange(HttpLimits(), "192.0.2.2")
    other.feed(first)
    assert other.next() == heard(first)[0]._replace(peer="192.0.2.2")  # type: ignore[union-attr]
    small = Exchange(HttpLimits(body_bytes=6))
    small.feed(first)
    with pytest.raises(HttpError) as refused:
        small.next()
    assert refused.value.status == 413


@pytest.mark.parametrize(
    "data",
    [
        GET,
        CHUNKS,
        POST + POST,
        POST[:-1],
        POST + b"x",
        POST.replace(b"Keep-Alive", b"close"),
        POST.replace(b"Keep-Alive", b"keep-alive\r\nExpect: 100-continue"),
        POST.replace(b"Keep-Alive", b"upgrade\r\nUpgrade: x"),
        POST.replace(b"HTTP/1.1", b"HTTP/1.0"),
        POST.replace(b"/http-bind", b"/" + b"x" * KNOWN_BYTES),
    ],
)
def test_only_plain_requests_are_remembered(data: bytes) -> None:
    known = KnownHeads()
    exchange = Exchange(HttpLimits(), heads=known)
    exchange.feed(data)
    with contextlib.suppress(HttpError):
        exchange.next()
    assert len(known) == 0


def test_heads_that_are_remembered_are_few() -> None:
    known = KnownHeads()
    for number in range(KNOWN_HEADS + 10):
        exchange = Exchange(HttpLimits(), heads=known)
        exchange.feed(POST.replace(b"x.org", b"x%d.org" % number))
    assert len(known) == 10
