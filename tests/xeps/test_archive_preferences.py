from __future__ import annotations

import pytest

from rookery.shared.xeps.archive_preferences import NS, Fallback, Preferences, element, parse
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.parse import parse_element

ALICE = "alice@example.org"


def prefs(default: str, always: str = "", never: str = "") -> Preferences:
    xml = f"<prefs xmlns='{NS}' default='{default}'><always>{always}</always><never>{never}</never></prefs>"
    return parse(parse_element(xml.encode()), 1000)


@pytest.mark.parametrize(
    ("fallback", "always", "never", "roster", "wanted"),
    [
        ("always", (), (), (), True),
        ("never", (), (), (ALICE,), False),
        ("roster", (), (), (), False),
        ("roster", (), (), (ALICE,), True),
        ("always", (), (ALICE,), (), False),
        ("never", (ALICE,), (), (), True),
        ("always", (ALICE,), (ALICE,), (), False),
        ("never", (f"{ALICE}/r",), (ALICE,), (), True),
        ("always", (ALICE,), (f"{ALICE}/r",), (), False),
        ("never", (f"{ALICE}/other",), (), (), False),
    ],
)
def test_whom_the_preferences_mean(
    fallback: Fallback, always: tuple[str, ...], never: tuple[str, ...], roster: tuple[str, ...], wanted: bool
) -> None:
    assert Preferences(fallback, always, never, roster).wants(f"{ALICE}/r") is wanted


def test_what_a_client_says_is_prepared_and_told_again() -> None:
    said = prefs("roster", "<jid>Alice@EXAMPLE.org</jid>", "<jid> bob@example.org/x </jid>")
    assert said == Preferences("roster", {ALICE}, {"bob@example.org/x"})
    assert parse(element(said), 1000) == said


def test_missing_lists_are_empty() -> None:
    assert parse(parse_element(f"<prefs xmlns='{NS}' default='never'/>".encode()), 1000) == Preferences(
        "never"
    )


@pytest.mark.parametrize(
    ("default", "always", "condition"),
    [
        ("", "", "bad-request"),
        ("sometimes", "", "bad-request"),
        ("always", "<jid/>", "jid-malformed"),
        ("always", "<jid>a@b@c</jid>", "jid-malformed"),
        (
            "always",
            "".join(f"<jid>u{n}@example.org</jid>" for n in range(1001)),
            "resource-constraint",
        ),
    ],
)
def test_mistakes(default: str, always: str, condition: str) -> None:
    with pytest.raises(StanzaError) as caught:
        prefs(default, always)
    assert caught.value.condition == condition
