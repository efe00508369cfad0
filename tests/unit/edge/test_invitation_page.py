"""The page of an invitation: both languages, nothing that runs, nothing that is not escaped."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from rookery.edge.door.invitation_page import HEADERS, page, refusal, words
from rookery.shared.bus.messages import Invited

INVITED = Invited("", "romeo@example.org", 1_600_000_000)


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "br", "path", "input"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize(
    ("accept", "lang"),
    [
        ("", "en"), ("de", "de"), ("de-AT,de;q=0.9,en;q=0.8", "de"), ("en;q=0.5, de;q=0.4", "en"), ("fr, de;q=0.1", "de"),
        ("fr", "en"), ("de;q=x", "en"), (";;;,,,", "en"), ("DE-de", "de"), ("en-GB,de", "en"),
    ],
)  # fmt: skip
def test_the_language(accept: str, lang: str) -> None:
    assert words(accept).lang == lang
    text = page("example.org", "T" * 20, INVITED, accept).body.decode()
    assert f'<html lang="{lang}">' in text


def test_what_it_says() -> None:
    answer = page("example.org", "T" * 20, INVITED._replace(username="juliet"), "en")
    text = answer.body.decode()
    tags = Tags(text)
    assert answer.status == 200
    assert not tags.open
    assert "romeo@example.org invites you" in text
    assert "2020-09-13 12:26 UTC" in text
    link = f"xmpp:juliet@example.org?register;preauth={'T' * 20}"
    assert ("a", {"class": "go", "href": link}) in tags.tags
    names = [tag for tag, _ in tags.tags]
    assert "svg" in names
    assert not {"script", "img", "link", "iframe", "form"} & set(names)
    assert dict(next(attrs for tag, attrs in tags.tags if tag == "svg"))["aria-label"]


@pytest.mark.parametrize(
    ("accept", "said"), [("en", "You can make an account"), ("de", "Sie können ein Konto")]
)
def test_it_promises_no_account_where_nobody_makes_one(accept: str, said: str) -> None:
    assert said in page("example.org", "T" * 20, INVITED, accept).body.decode()
    text = page(
        "example.org", "T" * 20, INVITED._replace(username="juliet", joins=False), accept
    ).body.decode()
    assert said not in text
    assert "juliet" not in text.partition("<code>")[0].partition("href")[0]
    contact = page("example.org", "T" * 20, INVITED._replace(joins=False), accept).body.decode()
    assert f"xmpp:romeo@example.org?roster;preauth={'T' * 20}" in contact
    assert "ibr" not in contact


def test_names_cannot_become_markup() -> None:
    evil = Invited("a<b>'\"", "<script>alert(1)</script>@example.org", 1_600_000_000)
    text = page("example.org", "T" * 20, evil, "de").body.decode()
    assert "<script" not in text
    assert "a<b>" not in text
    assert not Tags(text).open


@pytest.mark.parametrize(("known", "status"), [(True, 404), (False, 503)])
def test_refusals(known: bool, status: int) -> None:
    for accept in ("de", "en"):
        answer = refusal(known, accept)
        assert answer.status == status
        assert not Tags(answer.body.decode()).open


def test_nothing_runs_and_the_token_does_not_leave() -> None:
    headers = dict(HEADERS)
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert headers["Referrer-Policy"] == "no-referrer"
