"""The partition map: announcements may come in any order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rookery.shared.bus.messages import Kind
from rookery.shared.cluster.map import PartitionMap

#: An epoch has one holder, so the holder follows from it.
holds = st.tuples(st.integers(0, 3), st.integers(1, 9)).map(lambda pe: (f"p{pe[1] * 7 % 5}", pe[0], pe[1]))


@given(st.lists(holds, max_size=30), st.randoms())
def test_order_and_repetition_of_announcements_do_not_matter(
    said: list[tuple[str, int, int]], random: object
) -> None:
    maps = []
    for order in (said, sorted(said, key=repr), [*said, *said]):
        known = PartitionMap()
        for name, partition, epoch in order:
            known.learn(name, Kind.ROUTER, [(partition, epoch)])
        maps.append([known.holder(Kind.ROUTER, p) for p in range(4)])
    assert maps[0] == maps[1] == maps[2]
    for partition, holder in enumerate(maps[0]):
        best = max(((e, n) for n, p, e in said if p == partition), default=None)
        assert holder == (None if best is None else (best[1], best[0]))


def test_changes_are_told_by_former_holder() -> None:
    known = PartitionMap()
    assert known.learn("a", Kind.ROUTER, [(1, 1), (2, 1)]) == {None: [(Kind.ROUTER, 1), (Kind.ROUTER, 2)]}
    assert known.learn("a", Kind.ROUTER, [(1, 1)]) == {}
    assert known.learn("b", Kind.ROUTER, [(1, 2), (3, 1)]) == {
        "a": [(Kind.ROUTER, 1)],
        None: [(Kind.ROUTER, 3)],
    }
    assert known.learn("a", Kind.ROUTER, [(1, 1)]) == {}, "an old announcement changes nothing"
    assert known.count() == {Kind.ROUTER: 3}


def test_lost_holder_leaves_its_name_and_may_come_back() -> None:
    known = PartitionMap()
    known.learn("a", Kind.ROUTER, [(1, 4)])
    known.forget("a")
    assert known.holder(Kind.ROUTER, 1) is None
    assert known.learn("b", Kind.ROUTER, [(1, 3)]) == {}, "older than what was lost"
    assert known.learn("a", Kind.ROUTER, [(1, 4)]) == {"a": [(Kind.ROUTER, 1)]}
    known.forget("a")
    assert known.learn("b", Kind.ROUTER, [(1, 5)]) == {"a": [(Kind.ROUTER, 1)]}
    assert known.higher("a", Kind.ROUTER, 1, 4)
    assert not known.higher("b", Kind.ROUTER, 1, 4)


def test_a_claim_deposes_lower_epochs_until_the_new_holder_serves() -> None:
    known = PartitionMap()
    known.learn("a", Kind.ROUTER, [(1, 4), (2, 9)])
    known.claimed("b", Kind.ROUTER, [(1, 5), (2, 9)])
    assert known.holder(Kind.ROUTER, 1) is None
    assert known.holder(Kind.ROUTER, 2) == ("a", 9), "its epoch is no lower"
    assert known.learn("a", Kind.ROUTER, [(1, 4)]) == {}, "the deposed one still believes in itself"
    assert known.holder(Kind.ROUTER, 1) is None
    assert known.learn("b", Kind.ROUTER, [(1, 5)]) == {"a": [(Kind.ROUTER, 1)]}
    assert known.holder(Kind.ROUTER, 1) == ("b", 5)
    known.claimed("c", Kind.ROUTER, [(1, 5)])
    assert known.holder(Kind.ROUTER, 1) == ("b", 5), "an old claim"


def test_a_claim_of_what_nobody_held_holds_back_older_announcements() -> None:
    known = PartitionMap()
    known.claimed("b", Kind.ROUTER, [(1, 5)])
    assert known.learn("a", Kind.ROUTER, [(1, 4)]) == {}
    assert known.learn("c", Kind.ROUTER, [(1, 6)]) == {None: [(Kind.ROUTER, 1)]}
