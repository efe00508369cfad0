"""The page of new accounts: both languages, nothing that runs, and what its form may say."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from tests.unit.edge.test_invitation_page import Tags

from rookery.edge.door.forms import RefusedError
from rookery.edge.door.joining_page import _ENGLISH, _GERMAN, done, page, read
from rookery.shared.bus.messages import Register
from rookery.shared.xeps.captcha import Puzzle

DOMAIN = "example.org"
GOOD = {"username": "romeo", "password": "secret", "again": "secret", "email": "r@example.net"}


def form(**changes: str) -> bytes:
    return urlencode({**GOOD, **changes}).encode()


@pytest.mark.parametrize("username", ["romeo", " Romeo ", "romeo@example.org", "romeo@Example.ORG"])
def test_an_account_is_asked_for(username: str) -> None:
    asked = read(form(username=username, t="token"), DOMAIN, "192.0.2.1")
    assert asked == Register(DOMAIN, "romeo", "secret", "r@example.net", "192.0.2.1", "token")
    assert read(form(email=""), DOMAIN, "").email == ""


@pytest.mark.parametrize(
    ("body", "condition"),
    [
        (form(username=""), "jid-malformed"), (form(username="a b"), "jid-malformed"), (form(username="<b>"), "jid-malformed"),
        (form(username="romeo@other.example"), "jid-malformed"), (form(password="", again=""), "not-acceptable"),
        (form(again="x"), "different"), (form(password="x" * 2000, again="x" * 2000), "not-acceptable"),
        (form(t="x" * 2000), "not-acceptable"), (b"\xff", ""), (b"&".join([b"a=b"] * 50), ""), (b"", "jid-malformed"),
    ],
)  # fmt: skip
def test_what_is_not_taken(body: bytes, condition: str) -> None:
    with pytest.raises(RefusedError) as caught:
        read(body, DOMAIN, "")
    assert caught.value.condition == condition


@pytest.mark.parametrize("lang", ["en", "de"])
@pytest.mark.parametrize("condition", [None, *_ENGLISH.wrong, "internal-server-error"])
def test_pages_are_whole_and_escape_what_was_filled_in(lang: str, condition: str | None) -> None:
    evil = "<script>\"'"
    answer = page(DOMAIN, lang, evil, None if condition is None else RefusedError(condition, evil))
    found = Tags(answer.body.decode())
    assert found.open == []
    assert b"<script" not in answer.body
    labels = {attrs["for"] for tag, attrs in found.tags if tag == "label"}
    inputs = [attrs for tag, attrs in found.tags if tag == "input" and attrs.get("type") != "hidden"]
    assert labels == {attrs["id"] for attrs in inputs}  # each has its label
    assert ("html", {"lang": lang}) in found.tags
    headers = dict(answer.headers)
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "form-action 'self'" in headers["Content-Security-Policy"]
    assert headers["Cache-Control"] == "no-store"
    assert (answer.status == 200) is (condition is None)
    assert bool(inputs) is (condition not in ("not-allowed", "waits", "app"))


def test_both_languages_say_the_same() -> None:
    assert set(_ENGLISH.wrong) == set(_GERMAN.wrong)
    made = Register(DOMAIN, "romeo", "secret", "", "")
    for lang in ("en", "de"):
        answer = done(DOMAIN, lang, made)
        assert answer.status == 201
        assert b"romeo@example.org" in answer.body
        assert b"secret" not in answer.body


def test_a_question_is_a_field_of_the_form_and_its_answer_goes_with_it() -> None:
    puzzle = Puzzle("F3", "Which <colour>?")
    for lang in ("en", "de"):
        body = page(DOMAIN, lang, "", RefusedError("unanswered", "romeo"), puzzle).body.decode()
        assert Tags(body).open == []
        assert '<input type="hidden" name="c" value="F3">' in body
        assert "Which &lt;colour&gt;?</label>" in body
        assert 'role="alert"' in body
    assert read(form(c="F3", answer="blue"), DOMAIN, "").puzzle == ("F3", "blue", "")
    with pytest.raises(RefusedError):
        read(form(c="F3", answer="x" * 2000), DOMAIN, "")


def test_work_cannot_be_done_in_a_page_without_scripts() -> None:
    answer = page(DOMAIN, "en", "", None, Puzzle("F3", "", "e03d7"))
    assert answer.status == 403
    assert b"in a chat app" in answer.body
    assert b"<form" not in answer.body
