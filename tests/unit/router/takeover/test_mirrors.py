"""Mirrors that come in pieces, or more than once, make one session each."""

from __future__ import annotations

from collections.abc import Sequence

from tests.unit.router.rig import chat

from rookery.router.takeover.mirrors import _whole
from rookery.shared.bus.messages import Management, MirrorSession

ASLEEP = Management(b"token", 600, 0, 0, 4, (), True)
AWAKE = ASLEEP._replace(asleep=False)


def told(
    *numbers: int,
    n: int = 9,
    acked: int = 0,
    rows: Sequence[int] = (),
    grant: int = 1,
    stream: bytes = b"stream",
    managed: Management = AWAKE,
) -> MirrorSession:
    """One piece: the deliveries `numbers`, and stored messages `rows` that the client has."""
    inflight = [(row, b"", 100 + row) for row in rows] + [(one, b"origin", 10 + one) for one in numbers]
    stanzas = [(one, chat("bob@x/r", str(one))) for one in numbers]
    return MirrorSession(7, stream, "bob@x/r", grant, n, acked, b"note", inflight, stanzas, (managed,))


def whole(*parts: tuple[str, MirrorSession]) -> list[tuple[str, list[int]]]:
    """(edge, numbers in flight) of each session; checks that each has its stanza."""
    found = []
    for edge, session in _whole(list(parts)):
        numbers = [n for n, _, _ in session.inflight]
        assert {n for n, stream, _ in session.inflight if stream} <= dict(session.stanzas).keys()
        found.append((edge, numbers))
    return found


def test_pieces_are_put_together_in_order() -> None:
    assert whole(
        ("e", told(3, 4, rows=(1, 2), acked=2)), ("e", told(5, acked=2)), ("e", told(6, 7, acked=2))
    ) == [("e", [1, 2, 3, 4, 5, 6, 7])]


def test_what_is_told_twice_is_there_once() -> None:
    once = [("e", told(1, 2)), ("e", told(3))]
    assert whole(*once, *once) == [("e", [1, 2, 3])]
    assert whole(once[0], *once) == [("e", [1, 2, 3])]  # the link broke in between


def test_pieces_of_another_size_are_in_order_too() -> None:
    assert whole(("e", told(1, 2, 3, 4, 5)), ("e", told(1, 2)), ("e", told(3, 4, 5))) == [
        ("e", [1, 2, 3, 4, 5])
    ]


def test_what_was_told_last_is_so() -> None:
    first, last = told(1, 2, 3, n=3, rows=()), told(3, 4, n=4, acked=2, managed=ASLEEP)
    ((_, session),) = _whole([("e", first), ("e", last)])
    assert (session.n, session.acked, session.managed) == (4, 2, (ASLEEP,))
    # 1 and 2 are with the client: no uid of them may be taken for the id of a row
    assert session.inflight == [(3, b"origin", 13), (4, b"origin", 14)]


def test_a_row_that_was_in_flight_is_settled() -> None:
    first = told(n=2)._replace(inflight=[(1, b"", 101), (2, b"", 102)])
    ((_, session),) = _whole([("e", first), ("e", told(n=2, acked=2, rows=(2,)))])
    assert session.inflight == [(1, b"", 101), (2, b"", 102)]


def test_bindings_are_kept_apart() -> None:
    """Numbers of streams are those of one edge, and of an edge that has died only those streams are left that can be resumed."""
    parts = [("", told(1)), ("", told(2, stream=b"other")), ("e", told(3, grant=2))]
    assert whole(*parts) == [("", [1]), ("", [2]), ("e", [3])]


def test_a_session_of_an_edge_that_is_back_is_where_it_was_found_last() -> None:
    assert whole(("", told(1, 2, managed=ASLEEP)), ("e", told(2, 3, acked=1))) == [("e", [2, 3])]
