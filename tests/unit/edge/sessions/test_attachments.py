from __future__ import annotations

from rookery.edge.sessions.attachments import MOST_DEPOSED, Attachments


def test_the_first_router_that_delivers_after_a_binding_is_the_one() -> None:
    attachments = Attachments()
    attachments.bound(3, 5 << 32 | 1)
    assert attachments.allows(3, "router1")
    assert attachments.allows(3, "router1")
    assert not attachments.allows(3, "router2")
    assert attachments.epoch(3) == 5


def test_a_deposed_router_can_neither_deliver_nor_attach() -> None:
    attachments = Attachments()
    assert attachments.attach(3, 5, "router1")
    assert attachments.attach(3, 6, "router2")
    assert not attachments.attach(3, 5, "router1")
    assert not attachments.allows(3, "router1")
    assert attachments.allows(3, "router2")
    assert attachments.allows(4, "router1")


def test_a_binding_under_an_older_epoch_changes_nothing() -> None:
    attachments = Attachments()
    attachments.attach(3, 6, "router2")
    attachments.bound(3, 5 << 32)
    attachments.bound(3, 6 << 32 | 9)
    assert attachments.allows(3, "router2")
    assert not attachments.allows(3, "router1")


def test_what_a_router_has_lost_is_known_until_it_has_it_again() -> None:
    attachments = Attachments()
    attachments.attach(3, 5, "router1")
    attachments.attach(4, 5, "router1")
    assert attachments.lost_by("router1") == frozenset()
    attachments.attach(3, 6, "router2")
    attachments.attach(3, 6, "router2")
    assert attachments.lost_by("router1") == {3}
    assert attachments.lost_by("router2") == frozenset()
    attachments.attach(3, 7, "router1")
    assert attachments.lost_by("router1") == frozenset()
    assert attachments.lost_by("router2") == {3}


def test_so_many_deposed_routers_are_remembered() -> None:
    attachments = Attachments()
    for epoch in range(MOST_DEPOSED + 10):
        attachments.attach(3, epoch + 1, f"router{epoch}")
    assert attachments.lost_by("router0") == frozenset()
    assert attachments.lost_by(f"router{MOST_DEPOSED}") == {3}
