"""Who may know of whose presence (RFC 6121 section 4)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rookery.shared.bus.kinds import Kind
from rookery.shared.cluster.addresses import Place
from rookery.workers.presence.cache import Cache
from rookery.workers.presence.rules import Subscriptions

JIDS = [f"u{n}@{domain}" for n in range(4) for domain in ("one.org", "two.org")]
JID = st.sampled_from(JIDS)
BLOCKS = st.sampled_from([*JIDS, *(f"{jid}/phone" for jid in JIDS), "one.org", "two.org"])
CHANGES = st.lists(st.tuples(JID, st.sampled_from(["none", "to", "from", "both", "remove"])))


def build(changes: list[tuple[str, str]], blocked: set[str]) -> tuple[Subscriptions, dict[str, str]]:
    known = Subscriptions(True, {}, {}, frozenset(blocked))
    for jid, subscription in changes:
        known.update(jid, Place(Kind.ROUTER, 1), subscription)
    return known, dict(changes)


@given(CHANGES, st.sets(BLOCKS, max_size=3))
def test_no_presence_to_a_non_subscriber(changes: list[tuple[str, str]], blocked: set[str]) -> None:
    known, roster = build(changes, blocked)
    told = {jid for jid, _ in known.audience(Kind.ROUTER)}
    allowed = {jid for jid, subscription in roster.items() if subscription in ("from", "both")}
    assert told == {j for j in allowed if j not in blocked and j.partition("@")[2] not in blocked}
    for jid in JIDS:
        may = known.may_see("me@one.org", f"{jid}/phone")
        assert may == (jid in told and f"{jid}/phone" not in blocked)


@given(CHANGES, st.sets(BLOCKS, max_size=3))
def test_only_those_who_are_seen_are_probed(changes: list[tuple[str, str]], blocked: set[str]) -> None:
    known, roster = build(changes, blocked)
    for jid, _ in known.probed(Kind.ROUTER):
        assert roster[jid] in ("to", "both")
        assert jid not in blocked


def test_nobody_sees_an_account_that_is_not_there() -> None:
    known = Subscriptions(False, {}, {}, frozenset())
    assert not known.may_see("me@one.org", "me@one.org/phone")


def test_the_account_sees_itself_whatever_it_blocks() -> None:
    known = Subscriptions(True, {}, {}, frozenset({"one.org"}))
    assert known.may_see("me@one.org", "me@one.org/phone")


def subscriptions(size: int) -> Subscriptions:
    return Subscriptions(True, {f"u{n}@one.org": Place(Kind.ROUTER, 1) for n in range(size)}, {}, frozenset())


def test_the_cache_is_bounded_by_contacts_and_forgets_the_least_used() -> None:
    cache = Cache(max_contacts=25, max_age=100)
    for account in ("a", "b"):
        cache.put(account, 1, subscriptions(9), 0)
    assert cache.get("a", 1) is not None
    cache.put("c", 2, subscriptions(9), 1)
    assert cache.get("b", 1) is None
    assert cache.get("a", 1) is not None
    assert cache.contacts == 20


def test_one_account_may_be_larger_than_the_cache() -> None:
    cache = Cache(max_contacts=5)
    cache.put("a", 1, subscriptions(50), 0)
    assert cache.get("a", 0) is not None
    cache.put("b", 1, subscriptions(1), 0)
    assert cache.get("a", 0) is None


def test_nothing_is_believed_for_ever() -> None:
    cache = Cache(max_age=10)
    cache.put("a", 1, subscriptions(1), 0)
    assert cache.get("a", 10) is not None
    assert cache.get("a", 10.1) is None
    assert len(cache) == cache.contacts == 0


def test_a_partition_is_forgotten_alone() -> None:
    cache = Cache()
    cache.put("a", 1, subscriptions(1), 0)
    cache.put("b", 2, subscriptions(1), 0)
    cache.forget_partition(1)
    assert cache.get("a", 0) is None
    assert cache.get("b", 0) is not None
    cache.clear()
    assert len(cache) == cache.contacts == 0


def test_contacts_of_other_servers_are_told_and_probed_apart() -> None:
    known = Subscriptions(True, {}, {}, frozenset({"blocked@two.org"}))
    known.update("x@one.org", Place(Kind.ROUTER, 1), "both")
    for jid in ("y@two.org", "blocked@two.org"):
        known.update(jid, Place(Kind.S2S, 7), "both")
    assert known.kinds(known.seen_by) == {Kind.ROUTER, Kind.S2S}
    assert known.audience(Kind.S2S) == known.probed(Kind.S2S) == [("y@two.org", 7)]
    assert known.audience(Kind.ROUTER) == [("x@one.org", 1)]
    assert known.may_see("me@one.org", "y@two.org/phone")
    assert not known.may_see("me@one.org", "blocked@two.org/phone")
