"""What remote domains may send: strangers less, all of them together no more than their share."""

from __future__ import annotations

from types import SimpleNamespace

from rookery.shared.bucket import Bucket
from rookery.shared.config import S2s
from rookery.workers.s2s.streams.ground import Ground, Shaper

SETTINGS = S2s(stranger_stanzas_per_second=10, stranger_stanzas_burst=20)


def test_a_stranger_is_read_slowly_until_somebody_here_has_written_to_it() -> None:
    shaper = Shaper(SETTINGS, 0.0, Bucket(1000, 1000, 0.0))
    assert shaper.stranger
    assert shaper.take(100, 10, 0.0) == 0.0
    assert shaper.take(100, 20, 0.0) > 1.0
    shaper.befriend()
    assert not shaper.stranger
    assert shaper.take(100, 100, 0.0) == 0.0


def test_many_strangers_share_what_there_is() -> None:
    together = Bucket(10, 50, 0.0)
    shapers = [Shaper(SETTINGS, 0.0, together) for _ in range(100)]
    assert sum(shaper.take(0, 1, 0.0) == 0.0 for shaper in shapers) == 49
    friend = Shaper(SETTINGS, 0.0)
    assert friend.take(0, 100, 0.0) == 0.0


def test_streams_of_one_host_share_what_there_is_before_a_domain_has_proved_itself() -> None:
    ground = SimpleNamespace(settings=SETTINGS, reactor=SimpleNamespace(clock=lambda: 0.0), _hosts={})
    first, second = Ground.host(ground, "192.0.2.1"), Ground.host(ground, "192.0.2.1")  # type: ignore[arg-type]
    assert first is second
    assert first.take(0, 19, 0.0) == 0.0
    assert second.take(0, 2, 0.0) > 0.0
    other = Ground.host(ground, "192.0.2.2")  # type: ignore[arg-type]
    assert other.take(0, 19, 0.0) == 0.0
