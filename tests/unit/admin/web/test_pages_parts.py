"""The parts of the pages of /admin/ that need no cluster: who is logged in, forms, templates, lines."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from rookery.admin.tokens import Token
from rookery.admin.verb import SCOPES
from rookery.admin.web import login, rendering
from rookery.admin.web.charts import chart, short
from rookery.admin.web.login import LASTS, Login
from rookery.admin.web.pages import PAGES
from rookery.admin.web.visit import DONE
from rookery.shared.observe.history import NAMES, History, added

NEW, OLD = b"n" * 32, b"o" * 32
WHO = Login("root", 1_600_000_000_123_456, 1_600_000_100, "abcd")
EVIL = "<script>alert('1')</script>\"&"


def test_a_cookie_is_good_anywhere_for_a_while() -> None:
    value = WHO.cookie(OLD)
    assert login.read((NEW, OLD), value, WHO.issued + 5) == WHO
    assert login.read((NEW, OLD), value, WHO.issued + LASTS) is None
    assert login.read((NEW,), value, WHO.issued + 5) is None
    for wrong in ("", "~", "root~1~2~3", value[:-1], value.replace("root", "boot"), "é" + value):
        assert login.read((NEW, OLD), wrong, WHO.issued + 5) is None


def test_a_form_is_of_one_login() -> None:
    seal = WHO.form(OLD)
    assert WHO.fits((NEW, OLD), seal)
    assert not WHO._replace(nonce="other").fits((NEW, OLD), seal)
    assert not WHO.fits((NEW, OLD), WHO.cookie(OLD).rpartition("~")[2])
    assert not WHO.fits((NEW, OLD), "")


def test_the_cookie_is_for_no_script_and_no_other_site() -> None:
    name, value = login.set_cookie("x", secure=True)
    assert name == "Set-Cookie"
    assert {"HttpOnly", "SameSite=Strict", "Path=/admin/", "Secure"} <= set(value.split("; "))
    assert "Max-Age=0" in login.set_cookie("", secure=False)[1]
    assert login.cookie_of({"cookie": f"a=b; {login.COOKIE}=x~y; c"}) == "x~y"


@pytest.mark.parametrize(
    ("headers", "foreign"),
    [
        ({}, False),
        ({"sec-fetch-site": "same-origin"}, False),
        ({"sec-fetch-site": "none"}, False),
        ({"sec-fetch-site": "same-site"}, True),
        ({"sec-fetch-site": "cross-site"}, True),
        ({"origin": "http://a.example:1", "host": "a.example:1"}, False),
        ({"origin": "http://a.example", "host": "127.0.0.1:9", "x-forwarded-host": "a.example"}, False),
        ({"origin": "http://evil.example", "host": "a.example"}, True),
        ({"origin": "null", "host": "a.example"}, True),
    ],
)
def test_what_another_site_sends(headers: dict[str, str], foreign: bool) -> None:
    assert login.foreign(headers) is foreign


def test_every_change_is_a_post_with_a_scope() -> None:
    for page in PAGES:
        assert page.scope in SCOPES
        assert page.method == "GET" or not page.allowed(frozenset({"read"}))
        assert page.allowed(frozenset({"all"}))
        assert page.allowed(frozenset({page.scope}))
    folder = Path(rendering.__file__).parent
    told = set(
        re.findall(
            r'(?:Moved|_back)\([^\n]*"(\w+)"', "".join(p.read_text() for p in folder.glob("pages/*.py"))
        )
    )
    assert told <= set(DONE)


def test_every_form_carries_its_seal_and_no_page_has_a_script() -> None:
    for path in (Path(rendering.__file__).parent / "templates").glob("*.html"):
        text = path.read_text()
        posts = re.findall(r'<form method="post"(.*?)</form>', text, re.DOTALL)
        assert all('name="seal"' in one for one in posts) or path.name == "login.html", path
        assert not re.search(r"<script|style=|\bon\w+=|javascript:|https?://|\|\s*safe", text), path


def token() -> Token:
    return Token(EVIL, frozenset({"all"}), "x", datetime.now(UTC), None, None)


def shown(template: str, **values: Any) -> str:
    around = {"token": token(), "seal": EVIL, "done": EVIL, "may": lambda scope: True, "path": "/admin/"}
    return rendering.page(template, {**around, **values}).decode()


def test_names_are_text() -> None:
    from rookery.admin.registrations import Waiting
    from rookery.admin.reports import Row
    from rookery.admin.rooms import RoomLine, RoomView

    line = RoomLine(f"{EVIL}@c.example", EVIL, EVIL, True, True, 0.0, 1)
    pages = [
        shown("room.html", view=RoomView(line, ((EVIL, EVIL),), ((EVIL, "owner"),)), affiliations=("owner",)),
        shown("rooms.html", rows=[line], next=EVIL, service=EVIL),
        shown("log.html", lines=[dict.fromkeys(("at", "level", "kind", "event", "rest"), EVIL)], names=[EVIL],
              process=EVIL, level="info", text=EVIL, levels=("info",)),
        shown("waiting.html", people=[Waiting(f"{EVIL}@x", EVIL, EVIL, datetime.now(UTC))], more=False, about=EVIL,
              reports=[Row(1, datetime.now(UTC), EVIL, EVIL, EVIL, EVIL, (), ())]),
        shown("problem.html", status=400, detail=EVIL),
        shown("users.html", domains=[EVIL], domain=EVIL, search=EVIL, rows=[], next=EVIL),
    ]  # fmt: skip
    for page in pages:
        assert "<script" not in page
        assert "'1'" not in page
    assert rendering.segment("a/b?c#d@e") == "a%2Fb%3Fc%23d%40e"


def test_lines() -> None:
    made = chart("Sessions", [(0, 0.0), (5, 50_000.0), (10, 25_000.0)])
    assert (made.now, made.most) == ("25k", "50k")
    assert made.points.split() == ["0.0,54.0", "120.0,4.0", "240.0,29.0"]
    assert chart("x", []).points == ""
    assert [short(value) for value in (0, 0.25, 3, 1234.5, 2_500_000, 3e9)] == [
        "0",
        "0.25",
        "3",
        "1.23e+03",
        "2.5M",
        "3G",
    ]


def test_what_was_counted_is_added_up() -> None:
    one = {"names": list(NAMES), "samples": [[0, *[0] * 10], [5, *[10] * 10], [10, *[30] * 10]]}
    two = {"names": list(NAMES), "samples": [[5, *[100] * 10], [10, *[105] * 10]]}
    found = added([one, two, {}])
    assert found["sessions"] == [(0, 0.0), (5, 110.0), (10, 135.0)]
    assert found["logins"] == [(5, 2.0), (10, 5.0)]
    history = History()
    history.sample(1003)
    document = history.document()
    assert document["names"] == NAMES
    samples = document["samples"]
    assert isinstance(samples, list)
    assert samples[0][0] == 1000
    assert samples[0][-1] > 1_000_000
