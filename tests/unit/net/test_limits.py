from __future__ import annotations

from rookery.shared.net.addresses import Nets
from rookery.shared.net.limits import Doorkeeper, Failures

NONE = Nets(())


def test_connections_at_once() -> None:
    keeper = Doorkeeper(3, 1000, NONE)
    assert [keeper.enter("192.0.2.1", 0.0) for _ in range(4)] == [True, True, True, False]
    assert keeper.enter("192.0.2.2", 0.0)
    keeper.leave("192.0.2.1")
    assert keeper.enter("192.0.2.1", 0.0)


def test_connections_a_second() -> None:
    keeper = Doorkeeper(1000, 10, NONE)
    assert sum(keeper.enter("192.0.2.1", 0.0) for _ in range(100)) == 20
    assert sum(keeper.enter("192.0.2.1", 0.5) for _ in range(100)) == 5
    assert keeper.enter("192.0.2.2", 0.5)


def test_exempt_networks_are_not_counted() -> None:
    keeper = Doorkeeper(1, 1, Nets(("127.0.0.0/8",)))
    assert all(keeper.enter("127.0.0.1", 0.0) for _ in range(100))
    keeper.leave("127.0.0.1")
    assert len(keeper) == 0


def test_addresses_that_left_are_forgotten() -> None:
    keeper = Doorkeeper(10, 10, NONE)
    for index in range(5000):
        host = f"192.0.{index // 250}.{index % 250}"
        assert keeper.enter(host, float(index))
        keeper.leave(host)
    assert len(keeper) <= 2048


def test_a_refused_connection_needs_no_leave() -> None:
    keeper = Doorkeeper(1, 1000, NONE)
    assert keeper.enter("192.0.2.1", 0.0)
    assert not keeper.enter("192.0.2.1", 0.0)
    keeper.leave("192.0.2.1")
    assert keeper.enter("192.0.2.1", 0.0)
    assert not keeper.enter("192.0.2.1", 0.0)


def test_failures_lock_for_a_window_after_the_last_one_that_counted() -> None:
    failures = Failures(3, 600.0)
    for now in (0.0, 100.0, 200.0):
        assert not failures.blocked("192.0.2.1", now)
        failures.add("192.0.2.1", now)
    assert failures.blocked("192.0.2.1", 700.0)
    assert not failures.blocked("192.0.2.1", 800.0)
    assert not failures.blocked("192.0.2.2", 300.0)


def test_failures_of_long_ago_do_not_add_up() -> None:
    failures = Failures(2, 600.0)
    failures.add("192.0.2.1", 0.0)
    failures.add("192.0.2.1", 700.0)
    assert not failures.blocked("192.0.2.1", 700.0)


def test_the_table_of_failures_is_swept() -> None:
    failures = Failures(2, 10.0)
    for index in range(5000):
        failures.add(f"10.0.{index // 250}.{index % 250}", float(index))
    assert len(failures) <= 2048
