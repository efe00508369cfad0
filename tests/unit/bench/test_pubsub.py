"""Publications of the load tool: what ends one, what an error is, and what subscribers hear that they should not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.unit.bench.scenes import WINDOW, Scene, comes_back

from rookery.bench.driver.scan import MARK
from rookery.bench.result import Messages
from rookery.bench.scenarios.pubsub import Pubsub


class Order:
    """Which driver process."""

    number = 0


@pytest.fixture
def scene() -> Iterator[Scene]:
    scene = Scene(users=4, scenario="pubsub")
    scene.order = Order()  # type: ignore[attr-defined]
    yield scene
    scene.close()


def told(publication: bytes) -> bytes:
    """The notification of a publication."""
    found = MARK.search(publication)
    assert found is not None
    return (
        b"<message from='pubsub.x' to='u'><event><items><item><x>%b</x></item></items></event></message>"
        % found[0]
    )


def test_a_publication_is_over_when_the_last_subscriber_was_told(scene: Scene) -> None:
    pubsub = Pubsub(scene.driver)
    pubsub.begin(WINDOW)
    publisher, *others = scene.people
    (first,) = publisher.said()
    assert b"<publish node='bench" in first
    publisher.hear(b"<iq type='result' id='p0' from='pubsub.x'/>")
    for one in others[:2]:
        one.hear(told(first))
    others[0].hear(told(first))
    assert publisher.said() == []
    others[2].hear(told(first))
    (second,) = publisher.said()
    assert pubsub.messages() == Messages(sent=6, delivered=3, lost=3, duplicated=1)
    publisher.hear(told(second))
    assert scene.errors("pubsub") == {"misdelivered": 1}
    assert pubsub.outstanding() == 3


def test_a_refused_publication_is_over(scene: Scene) -> None:
    pubsub = Pubsub(scene.driver)
    pubsub.begin(WINDOW)
    publisher = scene.people[0]
    (first,) = publisher.said()
    publisher.hear(comes_back(first, "forbidden", whole=False))
    assert len(publisher.said()) == 1
    assert scene.errors("pubsub") == {"forbidden": 1}
    assert pubsub.messages() == Messages(sent=6, delivered=0, lost=3, refused=3)
