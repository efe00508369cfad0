"""What a message is known by, and which rows tell of the same one."""

from __future__ import annotations

import pytest

from rookery.admin.tracing import ids_of, opened, same
from rookery.shared.store.ids import Seal
from rookery.shared.xmpp.parse import parse_element
from rookery.shared.xmpp.stanza import Stanza


def message(id: str = "", origin: str = "", from_: str = "a@x/1", to: str = "b@x") -> Stanza:
    inside = [parse_element(f"<origin-id xmlns='urn:xmpp:sid:0' id='{origin}'/>".encode())] if origin else []
    return Stanza.build("message", *inside, type="chat", id=id, from_=from_, to=to)


@pytest.mark.parametrize(
    ("id", "origin", "known"),
    [("", "", set()), ("1", "", {"1"}), ("", "2", {"2"}), ("1", "2", {"1", "2"}), ("1", "1", {"1"})],
)
def test_what_its_sender_calls_it(id: str, origin: str, known: set[str]) -> None:
    assert ids_of(message(id, origin)) == known


@pytest.mark.parametrize(
    ("other", "one"),
    [
        (message("1", "2"), True),
        (message("1"), True),
        (message("", "2"), True),
        (message("1", to="b@x/phone"), True),
        (message("3", "4"), False),
        (message(), False),
        (message("1", from_="eve@x/1"), False),
        (message("1", to="eve@x"), False),
    ],
)
def test_two_rows_tell_of_one_message(other: Stanza, one: bool) -> None:
    assert same(message("1", "2"), other) is one


def test_an_archive_id_says_whose_it_is() -> None:
    seal = Seal(b"secret of the cluster")
    assert opened(seal, seal.seal(7, 1 << 41)) == (7, 1 << 41)


@pytest.mark.parametrize("text", ["", "x", "o1", "A" * 22, "é" * 22, "=" * 22, "A" * 23, "\x00" * 22])
def test_what_is_no_archive_id_opens_nothing(text: str) -> None:
    found = opened(Seal(b"secret of the cluster"), text)
    # Any 16 bytes open as something: it has to be an owner that is there, with such a message.
    assert found is None or len(text) == 22
