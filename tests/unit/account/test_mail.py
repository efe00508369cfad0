"""Mail addresses: what is surely none is refused."""

from __future__ import annotations

import pytest

from rookery.workers.account.mail import mail_address


@pytest.mark.parametrize("text", ["", "a@b", " a@example.org ", "jürgen@bücher.example", '"a b"@example.org'])
def test_what_may_be_an_address_is_kept(text: str) -> None:
    assert mail_address(text) == text.strip()


@pytest.mark.parametrize(
    "text",
    [
        "nobody",
        "@b",
        "a@",
        "a@b..c",
        "a b@c",
        "a@b c",
        "a@b@c",
        "a\n@b",
        "a\u200b@b",
        f"{'x' * 320}@b",
        "mailto",
    ],
)
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a mail address"):
        mail_address(text)
