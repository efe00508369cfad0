"""The address book: who serves which address, and what is refused."""

from __future__ import annotations

import pytest

from rookery.shared.bus.kinds import KINDS, Kind
from rookery.shared.bus.subjects import partition_of
from rookery.shared.cluster.addresses import NOWHERE, OWN, Addresses, Place
from rookery.shared.xmpp.errors import StanzaError


@pytest.fixture
def book() -> Addresses:
    addresses = Addresses(partition_of)
    addresses.learn(
        {
            "a.org": "accounts",
            "rooms.a.org": "rooms",
            "pubsub.a.org": "pubsub",
            "irc.a.org": "component",
            "xn--bcher-kva.example": "accounts",
            "later.a.org": "holograms",
        }
    )
    return addresses


@pytest.mark.parametrize(
    ("jid", "place"),
    [
        ("u@a.org", (Kind.ROUTER, partition_of("u@a.org"))),
        ("u@a.org/phone", (Kind.ROUTER, partition_of("u@a.org"))),
        ("u@a.org/a@b/c", (Kind.ROUTER, partition_of("u@a.org"))),
        ("a.org", (Kind.ROUTER, OWN)),
        ("a.org/x", (Kind.ROUTER, OWN)),
        ("room@rooms.a.org/nick", (Kind.MUC, partition_of("room@rooms.a.org"))),
        ("rooms.a.org", (Kind.MUC, partition_of("rooms.a.org"))),
        ("node@pubsub.a.org", (Kind.PUBSUB, partition_of("node@pubsub.a.org"))),
        ("anybody@irc.a.org", (Kind.COMPONENT, partition_of("irc.a.org"))),
        ("u@elsewhere.net/x", (Kind.S2S, partition_of("elsewhere.net"))),
        ("elsewhere.net", (Kind.S2S, partition_of("elsewhere.net"))),
        ("", (Kind.S2S, partition_of(""))),
        ("x@later.a.org", NOWHERE),
    ],
)
def test_place(book: Addresses, jid: str, place: Place) -> None:
    assert book.place(jid) == place
    assert book.place(jid) == place, "remembered"


@pytest.mark.parametrize("jid", ["u@A.ORG", "u@a.org."])
def test_capitals_and_final_dots_are_the_same_domain(book: Addresses, jid: str) -> None:
    assert book.place(jid) == book.place("u@a.org")


def test_names_are_compared_in_one_form_whatever_form_rows_and_addresses_have(book: Addresses) -> None:
    assert book.account("u@bücher.example")
    assert book.place("u@xn--bcher-kva.example") == book.place("u@bücher.example")
    assert book.place("u@BÜCHER.example") == book.place("u@bücher.example")
    assert book.place("x@xn--mnchen-3ya.net") == book.place("x@MÜNCHEN.net"), "other servers' names, too"


def test_what_nobody_serves_is_refused_at_once(book: Addresses) -> None:
    for jid, condition in (
        ("u@elsewhere.net", "remote-server-not-found"),
        ("x@later.a.org", "service-unavailable"),
    ):
        with pytest.raises(StanzaError) as caught:
            book.destination(jid)
        assert caught.value.condition == condition
        assert not book.serves(jid)
    assert book.destination("u@a.org") == book.place("u@a.org")
    assert book.destination("a.org").partition == OWN


def test_a_kind_that_is_built_is_a_destination(book: Addresses, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind, jid in ((Kind.MUC, "r@rooms.a.org"),):
        monkeypatch.setitem(KINDS, kind, KINDS[kind]._replace(service="x:Y"))
        assert book.destination(jid) == book.place(jid)
        assert book.serves(jid)


def test_other_servers_are_served_where_federation_is_on_and_the_own_domains_are_known() -> None:
    book = Addresses(partition_of, federated=True)
    assert not book.serves("u@elsewhere.net")
    book.learn({"a.org": "accounts"})
    assert book.destination("u@elsewhere.net") == (Kind.S2S, partition_of("elsewhere.net"))


def test_what_is_learned_takes_the_place_of_what_was_known(book: Addresses) -> None:
    assert book.account("u@a.org")
    book.learn({"a.org": "rooms"})
    assert book.place("u@a.org").kind is Kind.MUC
    assert book.place("u@rooms.a.org").kind is Kind.S2S
    book.learn({})
    assert not book.local("u@a.org")
    assert not book.accounts


def test_the_domains_of_accounts_are_kept_in_one_set(book: Addresses) -> None:
    known = book.accounts
    assert known == {"a.org", "bücher.example"}
    book.learn({"B.org": "accounts", "rooms.b.org": "rooms"})
    assert known is book.accounts
    assert known == {"b.org"}


def test_local_means_any_kind_of_ours(book: Addresses) -> None:
    assert book.local("r@rooms.a.org")
    assert book.local("a.org")
    assert not book.local("u@elsewhere.net")
    assert not book.account("r@rooms.a.org")
    assert not book.account("a.org")


def test_long_addresses_are_served_and_not_remembered(book: Addresses) -> None:
    long = f"{'u' * 900}@a.org"
    assert book.place(long) == (Kind.ROUTER, partition_of(long))
    assert book._cached.cache_info().currsize == 0  # type: ignore[attr-defined]
