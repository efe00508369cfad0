"""The page of accounts: both languages, nothing that runs, and what its forms may say."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from tests.unit.edge.test_invitation_page import Tags

from rookery.edge.door.account_page import _ENGLISH, _GERMAN, done, page, read
from rookery.edge.door.forms import RefusedError
from rookery.shared.bus.messages import ChangeAccount

DOMAIN = "example.org"
GOOD = {"username": "romeo", "password": "old", "new": "new one", "again": "new one", "what": "change"}


def form(**changes: str) -> bytes:
    return urlencode({**GOOD, **changes}).encode()


@pytest.mark.parametrize("username", ["romeo", " Romeo ", "romeo@example.org", "romeo@Example.ORG"])
def test_a_password_is_changed(username: str) -> None:
    asked = read(form(username=username), DOMAIN, "192.0.2.1")
    assert asked == ChangeAccount("romeo@example.org", "old", "new one", "192.0.2.1")


def test_an_account_is_removed_when_that_is_confirmed() -> None:
    assert read(form(what="remove", sure="yes"), DOMAIN, "") == ChangeAccount(
        "romeo@example.org", "old", "", ""
    )
    with pytest.raises(RefusedError, match="unsure"):
        read(form(what="remove"), DOMAIN, "")


@pytest.mark.parametrize(
    ("body", "condition"),
    [
        (form(username=""), "not-authorized"), (form(username="a b"), "not-authorized"), (form(password=""), "not-authorized"),
        (form(username="romeo@other.example"), "not-authorized"), (form(new=""), "not-acceptable"), (form(again="x"), "different"),
        (form(new="x" * 2000, again="x" * 2000), "not-acceptable"), (b"\xff", ""), (b"&".join([b"a=b"] * 50), ""), (b"", "not-authorized"),
        (form(username="<b>"), "not-authorized"),
    ],
)  # fmt: skip
def test_what_is_not_taken(body: bytes, condition: str) -> None:
    with pytest.raises(RefusedError) as caught:
        read(body, DOMAIN, "")
    assert caught.value.condition == condition


@pytest.mark.parametrize("lang", ["en", "de"])
@pytest.mark.parametrize("condition", [None, *_ENGLISH.wrong, "internal-server-error"])
def test_pages_are_whole_and_escape_what_was_filled_in(lang: str, condition: str | None) -> None:
    refused = None if condition is None else RefusedError(condition, "<script>\"'")
    answer = page(DOMAIN, lang, refused)
    found = Tags(answer.body.decode())
    assert found.open == []
    assert b"<script" not in answer.body
    labels = {attrs["for"] for tag, attrs in found.tags if tag == "label"}
    inputs = [attrs for tag, attrs in found.tags if tag == "input"]
    assert labels == {attrs["id"] for attrs in inputs}  # each has its label
    assert ("html", {"lang": lang}) in found.tags
    headers = dict(answer.headers)
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "form-action 'self'" in headers["Content-Security-Policy"]
    assert headers["Cache-Control"] == "no-store"
    assert (answer.status == 200) is (condition is None)
    assert any(attrs.get("role") == "alert" for _, attrs in found.tags) is (condition is not None)


def test_both_languages_say_the_same() -> None:
    assert _ENGLISH.wrong.keys() == _GERMAN.wrong.keys()
    for asked in (ChangeAccount("a@x", "p", "n", ""), ChangeAccount("a@x", "p", "", "")):
        assert done(DOMAIN, "de", asked).body != done(DOMAIN, "en", asked).body
