from __future__ import annotations

from rookery.edge.sessions import recent_messages
from rookery.edge.sessions.mirror import SessionMirror
from rookery.edge.sessions.recent_messages import RecentMessages
from rookery.shared.bus.messages import Mirror
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element


def message(to: str, text: str = "hi") -> Stanza:
    return Stanza.build("message", Element("jabber:client", "body", None, text), to=to)


def told(machine: RecentMessages, partition: int = 1) -> list[int]:
    chunks = list(machine.chunks("edge1", partition, lambda bare: int(bare[0])))
    assert not any(chunk.last or chunk.sessions for chunk in chunks)
    return [n for chunk in chunks for _, n, _ in chunk.late]


def test_a_partition_is_told_its_own_in_order_for_two_generations() -> None:
    machine = RecentMessages()
    machine.add(1, b"s", 1, message("1@x/r"))
    machine.add(1, b"s", 2, message("2@x"))
    machine.rotate()
    machine.add(1, b"s", 3, message("1@x"))
    assert (told(machine), told(machine, 2)) == ([1, 3], [2])
    machine.rotate()
    assert told(machine) == [3]
    machine.rotate()
    assert len(machine) == 0


def test_much_is_told_in_pieces_and_too_much_is_forgotten_early() -> None:
    machine = RecentMessages()
    size = recent_messages._CHUNK_BYTES // 2
    for n in range(5):
        machine.add(1, b"s", n, message("1@x", "x" * size))
    assert [len(chunk.late) for chunk in machine.chunks("edge1", 1, lambda bare: 1)] == [2, 2, 1, 0]
    assert told(machine) == list(range(5))
    for n in range(recent_messages.MAX_BYTES * 2 // size):
        machine.add(1, b"s", n, message("1@x", "x" * size))
    assert len(machine) * size <= recent_messages.MAX_BYTES


def test_what_a_session_acknowledges_is_remembered_when_somebody_may_send_it_again() -> None:
    machine = RecentMessages()
    mirror = SessionMirror(1, machine)
    iq = Stanza.build("iq", type="get", to="1@x/r")
    for n, (stream, stanza) in enumerate(
        [(b"a", message("1@x")), (b"", message("1@x")), (b"a", iq), (b"a", message("1@x"))], 1
    ):
        mirror.take(1, n, stream, 10 + n, stanza)
    mirror.written(2)
    assert told(machine) == [11]
    mirror.written(4)
    assert told(machine) == [11, 14]


def uids(machine: RecentMessages, partition: int = 1) -> list[int]:
    chunks = list(machine.chunks("edge1", partition, lambda bare: int(bare[0])))
    assert not any(chunk.last or chunk.sessions or chunk.late for chunk in chunks)
    return [n for chunk in chunks for _, n in chunk.iqs]


def test_of_requests_and_answers_the_uids_are_told() -> None:
    machine = RecentMessages()
    one, two = SessionMirror(1, machine, 1), SessionMirror(1, machine, 2)
    one.managed = True
    iq, presence = Stanza.build("iq", type="result", to="1@x/r"), Stanza.build("presence", to="1@x/r")
    for n, (stream, stanza) in enumerate([(b"a", iq), (b"", presence), (b"", iq), (b"answer:b", iq)], 1):
        one.take(1, n, stream, 10 + n, stanza)
    two.take(1, 1, b"a", 30, iq)
    one.written(3)
    two.written(1)
    assert (uids(machine), uids(machine, 2)) == ([11], [30])
    machine.rotate()
    one.written(4)
    assert uids(machine) == [11, 14]
    machine.rotate()
    assert (uids(machine), uids(machine, 2)) == ([14], [])


def test_many_uids_are_told_in_pieces_and_too_many_are_forgotten_early() -> None:
    machine = RecentMessages()
    for n in range(recent_messages._CHUNK_UIDS + 1):
        machine.add_iq(1, b"s", n)
    assert [len(chunk.iqs) for chunk in machine.chunks("edge1", 1, len)] == [recent_messages._CHUNK_UIDS, 1]
    for n in range(recent_messages.MAX_BYTES // recent_messages._UID_BYTES * 2):
        machine.add_iq(1, b"s", n)
    assert len(uids(machine)) * recent_messages._UID_BYTES <= recent_messages.MAX_BYTES


def test_nothing_is_forgotten_for_its_age_while_commits_are_slow() -> None:
    """A client may acknowledge what Postgres has not taken for a minute: its router may die at the end of that."""
    machine = RecentMessages()
    machine.add(1, b"s", 1, message("1@x"))
    for second in range(1, 61):
        machine.tick(float(second), slow=True)
    assert len(machine) == 1
    machine.tick(60.0 + recent_messages.SECONDS)
    assert len(machine) == 1
    machine.tick(60.0 + 2 * recent_messages.SECONDS)
    assert len(machine) == 0


def test_what_is_forgotten_is_freed_in_portions() -> None:
    machine = RecentMessages()
    for n in range(10):
        machine.add(1, b"s", n, message("1@x"))
    machine.rotate()
    machine.rotate()
    assert (len(machine), len(machine._forgotten)) == (0, 10)
    for n in range(4):
        machine.add(1, b"s", n, message("1@x"))
    assert len(machine._forgotten) == 2
    machine.tick(1.0)
    assert machine._forgotten == []


def test_another_edge_inherits_what_is_remembered() -> None:
    machine, heir = RecentMessages(), RecentMessages()
    machine.add(1, b"s", 1, message("1@x/r"))
    machine.rotate()
    machine.add(1, b"s", 2, message("2@x"))
    machine.add_iq(3, b"q", 7)
    for chunk in machine.legacy("edge1"):
        heir.inherit(chunk, lambda bare: int(bare[0]))
    assert (told(heir), told(heir, 2)) == ([1], [2])
    (chunk,) = heir.chunks("edge2", 3, lambda bare: int(bare[0]))
    assert chunk.iqs == [(b"q", 7)]


def test_how_far_a_session_was_told_of_nodes_outlasts_the_messages() -> None:
    """Workers tell again what is older than messages are remembered; a new session of the same resource was told nothing."""
    machine = RecentMessages()
    mirror = SessionMirror(1, machine, 1, b"s")
    for n in (1, 2):
        mirror.take(1, n, b"node:1", 40 + n, message("1@x/r"))
    assert mirror.describe(1, b"s", "1@x/r").heard == ()  # (it stands in what is in flight)
    mirror.written(2)
    machine.rotate()
    machine.rotate()
    assert mirror.describe(1, b"s", "1@x/r").heard == ((b"node:1", 42),)
    assert SessionMirror(2, machine, 1, b"t").describe(2, b"t", "1@x/r").heard == ()


def test_what_was_told_of_nodes_is_forgotten_by_age_and_by_number() -> None:
    machine = RecentMessages()
    machine.add_told(b"s", b"node:1", 1)
    machine.tick(recent_messages.TOLD_SECONDS)
    assert machine.told_of(b"s") == ((b"node:1", 1),)
    machine.tick(2 * recent_messages.TOLD_SECONDS - 1)
    assert machine.told_of(b"s")
    machine.tick(2 * recent_messages.TOLD_SECONDS)
    assert not machine.told_of(b"s")
    machine.add_told(b"s", b"node:1", 1)
    for n in range(2 * recent_messages.MAX_TOLD):
        machine.add_told(b"t", b"node:2", n)
    assert not machine.told_of(b"s")


def test_a_session_that_goes_on_here_was_told_of_nodes_elsewhere() -> None:
    machine = RecentMessages()
    mirror = SessionMirror(1, machine, 1, b"s")
    mirror.take_over([(b"room:a", 3), (b"node:1", 42)])
    assert (mirror.heard, machine.told_of(b"s")) == ({b"room:a": 3}, ((b"node:1", 42),))


def given(machine: RecentMessages, partition: int = 1) -> list[int]:
    chunks = machine.chunks("edge1", partition, lambda bare: int(bare[0]))
    return [n for chunk in chunks for _, n in chunk.given]


def test_of_messages_the_uids_outlast_the_stanzas() -> None:
    """Who sent them may have been away for a minute, and sends them again to another holder."""
    machine, heir = RecentMessages(), RecentMessages()
    mirror = SessionMirror(1, machine, 2)
    mirror.take(1, 1, b"a", 7, message("2@x/r"))
    mirror.written(1)
    for second in range(1, int(recent_messages.GIVEN_SECONDS)):
        machine.tick(float(second))
    assert (told(machine, 2), given(machine, 2), given(machine)) == ([], [7], [])
    for chunk in machine.legacy("edge1"):
        heir.inherit(chunk, lambda bare: int(bare[0]))
    assert given(heir, 2) == [7]
    machine.tick(recent_messages.GIVEN_SECONDS)
    assert given(machine, 2) == [7]
    machine.tick(2 * recent_messages.GIVEN_SECONDS)
    assert given(machine, 2) == []


def test_too_many_uids_of_messages_are_forgotten_early() -> None:
    machine = RecentMessages()
    for n in range(2 * recent_messages.MAX_GIVEN):
        machine.inherit(Mirror("edge2", 1, (), False, (), (), ((b"s", n),)), len)
    assert len(given(machine)) <= recent_messages.MAX_GIVEN
    assert given(machine)[-1] == 2 * recent_messages.MAX_GIVEN - 1
