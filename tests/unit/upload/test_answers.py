"""RFC 9110 sections 13 and 14: ranges and conditions; and that a file can do nothing in a browser."""

from __future__ import annotations

import pytest

from rookery.shared.xeps.upload import Options
from rookery.workers.upload.answers import cors, etag, got, span
from rookery.workers.upload.store import File

FILE = File("a" * 32, "x.html", "text/html", 100, 2000.0)
INLINE = Options().inline_types


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("", None),
        ("bytes=0-9", (0, 10)),
        ("bytes=90-", (90, 100)),
        ("bytes=-10", (90, 100)),
        ("bytes=-1000", (0, 100)),
        ("bytes=50-1000", (50, 100)),
        ("bytes=100-", (0, 0)),
        ("bytes=-0", (0, 0)),
        ("bytes=9-3", None),
        ("bytes=-", None),
        ("bytes=0-1,3-4", None),
        ("bytes=0-9" + "9" * 30, None),
        ("lines=0-1", None),
        ("bytes=٣-", None),
    ],
)
def test_ranges(header: str, found: tuple[int, int] | None) -> None:
    assert span(header, 100) == found


@pytest.mark.parametrize(
    ("headers", "status", "length"),
    [
        ({}, 200, "100"),
        ({"range": "bytes=1-2"}, 206, "2"),
        ({"range": "bytes=1-2", "if-range": etag(FILE)}, 206, "2"),
        ({"range": "bytes=1-2", "if-range": '"other"'}, 200, "100"),
        ({"range": "bytes=100-"}, 416, "0"),
        ({"if-none-match": f'"x", W/{etag(FILE)}'}, 304, None),
        ({"if-none-match": '"x"'}, 200, "100"),
    ],
)
def test_statuses(headers: dict[str, str], status: int, length: str | None) -> None:
    reply = got(FILE, headers, 1000.0, INLINE)
    assert (reply.status, dict(reply.headers).get("Content-Length")) == (status, length)


@pytest.mark.parametrize(
    ("media_type", "way"),
    [
        ("text/html", "attachment"),
        ("image/svg+xml", "attachment"),
        ("application/pdf", "attachment"),
        ("image/png", "inline"),
        ("text/plain", "inline"),
    ],
)
def test_nothing_runs_in_a_browser(media_type: str, way: str) -> None:
    headers = dict(got(FILE._replace(media_type=media_type), {}, 1000.0, INLINE).headers)
    assert headers["Content-Disposition"].partition(";")[0] == way
    assert "sandbox" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert FILE.id not in str(headers)


@pytest.mark.parametrize(("expires", "age"), [(1060.0, 60), (0.0, 86_400), (10.0**9, 86_400), (999.0, 0)])
def test_no_cache_keeps_a_file_longer_than_we_do(expires: float, age: int) -> None:
    headers = dict(got(FILE._replace(expires=expires), {}, 1000.0, INLINE).headers)
    assert headers["Cache-Control"] == f"private, max-age={age}, immutable"


def test_web_clients_of_these_origins() -> None:
    assert dict(cors("https://a", ("*",)))["Access-Control-Allow-Origin"] == "*"
    assert dict(cors("https://a", ("https://a",)))["Access-Control-Allow-Origin"] == "https://a"
    assert cors("https://b", ("https://a",)) == cors("", ("*",)) == []
