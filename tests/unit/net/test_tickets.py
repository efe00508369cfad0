"""Keys of session tickets: the same at all edges, another one every period."""

from pathlib import Path

import pytest

from rookery.shared.net.tickets import SHORTEST, Key, SecretsError, Tickets, derive

FIRST, SECOND = "a" * 64, "b" * 64
HOUR = 3600


class Clock:
    """A clock that stands."""

    def __init__(self) -> None:
        self.now = 1_000_000 * HOUR

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tickets"
    path.write_text(FIRST + "\n")
    return path


def test_two_edges_have_the_same_keys(file: Path, clock: Clock) -> None:
    one, two = (Tickets(str(file), 12, now=clock) for _ in range(2))
    name, aes, hmac = one.newest()
    assert two.newest() == (name, aes, hmac)
    assert two.named(name) == (aes, hmac)
    assert [len(part) for part in (name, aes, hmac)] == [16, 32, 32]
    assert len({aes, hmac}) == 2


def test_a_key_is_known_for_one_more_period_and_to_slow_clocks(file: Path, clock: Clock) -> None:
    tickets, slow = (
        Tickets(str(file), 12, now=clock),
        Tickets(str(file), 12, now=lambda: clock.now - 12 * HOUR),
    )
    name, aes, hmac = tickets.newest()
    assert slow.named(name) == (aes, hmac)
    clock.now += 12 * HOUR
    assert tickets.named(name) == (aes, hmac)
    assert tickets.newest()[0] != name
    clock.now += 12 * HOUR
    assert tickets.named(name) is None


def test_secrets_change_without_anybody_losing_a_ticket(file: Path, clock: Clock) -> None:
    tickets = Tickets(str(file), 12, now=clock)
    tickets.reload()
    name, *_ = tickets.newest()
    file.write_text(f"{SECOND}\n{FIRST}\n")
    tickets.reload()
    assert tickets.newest()[0] != name
    assert tickets.named(name) is not None
    file.write_text(f"{SECOND}\n")
    tickets.reload()
    assert tickets.named(name) is None


def test_a_file_that_cannot_be_used_changes_nothing(file: Path, clock: Clock) -> None:
    tickets = Tickets(str(file), 12, now=clock)
    before = tickets.newest()
    for broken in ("", "short\n"):
        file.write_text(broken)
        tickets.reload()
        assert tickets.newest() == before
    file.unlink()
    tickets.reload()
    assert tickets.newest() == before


def test_a_scope_has_keys_of_its_own(file: Path, clock: Clock) -> None:
    tickets = Tickets(str(file), 12, now=clock)
    name, *_ = tickets.newest()
    tickets.limit(b"certificates")
    assert tickets.named(name) is None
    tickets.limit(b"")
    assert tickets.named(name) is not None


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "no secret"),
        ("x" * (SHORTEST - 1), "fewer than"),
        (f"{FIRST}\nshort", "fewer than"),
        (None, "No such file"),
    ],
)
def test_what_is_refused_at_the_start(tmp_path: Path, content: str | None, says: str) -> None:
    path = tmp_path / "tickets"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SecretsError, match=says) as caught:
        Tickets(str(path), 12)
    assert not content or content not in str(caught.value)


def test_keys_depend_on_all_that_goes_in() -> None:
    key = derive(b"secret", 1, b"")
    others = [derive(b"Secret", 1, b""), derive(b"secret", 2, b""), derive(b"secret", 1, b"x")]
    assert derive(b"secret", 1, b"") == key
    assert all(not set(key) & set(other) for other in others)
    assert isinstance(key, Key)
