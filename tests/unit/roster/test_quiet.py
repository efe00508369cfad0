"""What the holder of a partition knows of accounts without open requests: never more than Postgres says."""

from __future__ import annotations

from rookery.workers.roster import quiet
from rookery.workers.roster.quiet import Quiet

ALICE, BOB = "alice@example.org", "bob@example.org"


def test_what_postgres_said_is_known_until_a_request_is_committed() -> None:
    machine = Quiet()
    machine.add(1, BOB, machine.changes(1))
    assert machine.known(1, BOB)
    assert not machine.known(2, BOB)
    machine.discard(1, BOB)
    assert not machine.known(1, BOB)


def test_a_request_that_is_committed_while_postgres_is_asked_is_not_forgotten() -> None:
    """RFC 6121 section 3.1.3: it waits for the next resource that becomes available."""
    machine = Quiet()
    asked = machine.changes(1)
    machine.discard(1, BOB)
    machine.add(1, BOB, asked)
    assert not machine.known(1, BOB)
    asked = machine.changes(1)
    machine.add(1, BOB, asked)
    machine.discard(1, BOB)  # the end of the commit
    assert not machine.known(1, BOB)
    machine.add(2, ALICE, machine.changes(2))
    assert machine.known(2, ALICE)


def test_whose_partition_is_lost_is_not_known_and_many_are_forgotten() -> None:
    machine = Quiet()
    machine.add(1, BOB, 0)
    machine.forget(1)
    assert not machine.known(1, BOB)
    for n in range(quiet.MAX_ACCOUNTS + 1):
        machine.add(1, f"{n}@example.org", 0)
    assert not machine.known(1, "0@example.org")
    assert machine.known(1, f"{quiet.MAX_ACCOUNTS}@example.org")
