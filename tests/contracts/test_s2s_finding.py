"""Finding the servers of domains, against a DNS server of the tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import trio

from rookery.bench.remotes.dns import NXDOMAIN, SERVFAIL, SILENT, Names, Record
from rookery.shared.config import S2s
from rookery.workers.s2s.streams import records
from rookery.workers.s2s.streams.finding import Finder, NotFoundError


@pytest.fixture
def names() -> Iterator[Names]:
    with Names() as server:
        yield server


def finder(names: Names, **settings: object) -> Finder:
    return Finder(S2s(resolver=f"127.0.0.1:{names.port}", dns_seconds=1.0, **settings))  # type: ignore[arg-type]


async def kind(made: Finder, domain: str) -> str:
    with pytest.raises(NotFoundError) as caught:
        await made.servers(domain)
    return caught.value.trouble.kind


def srv(domain: str, data: str, *, tls: bool = False) -> Record:
    return Record(f"_xmpp{'s' if tls else ''}-server._tcp.{domain}", "SRV", data)


async def test_both_kinds_of_records_are_one_list(names: Names) -> None:
    names.add(srv("b.example", "20 1 5269 one.b.example."))
    names.add(srv("b.example", "10 1 5270 two.b.example.", tls=True))
    found = await finder(names).servers("b.example")
    assert found == [
        records.Record(10, 1, 5270, "two.b.example", True),
        records.Record(20, 1, 5269, "one.b.example"),
    ]


async def test_without_records_the_domain_is_its_own_server(names: Names) -> None:
    names.add(Record("b.example", "A", "192.0.2.1"))
    assert await finder(names).servers("b.example") == [records.Record(0, 0, 5269, "b.example")]


async def test_a_root_target_means_that_there_is_no_server(names: Names) -> None:
    names.add(srv("b.example", "0 0 5269 ."))
    assert await kind(finder(names), "b.example") == "dns-none"


async def test_one_kind_without_a_server_leaves_the_other(names: Names) -> None:
    names.add(srv("b.example", "0 0 0 .", tls=True))
    names.add(srv("b.example", "0 0 5269 one.b.example."))
    assert [each.target for each in await finder(names).servers("b.example")] == ["one.b.example"]


@pytest.mark.parametrize(("failure", "expected"), [(SERVFAIL, "dns-servfail"), (SILENT, "dns-timeout")])
async def test_failures_are_told_apart(names: Names, failure: str, expected: str) -> None:
    for service in ("_xmpp-server", "_xmpps-server"):
        names.add(Record(f"{service}._tcp.b.example", failure))
    assert await kind(finder(names), "b.example") == expected


async def test_a_failure_of_one_kind_is_no_reason_to_guess(names: Names) -> None:
    names.add(Record("_xmpps-server._tcp.b.example", SERVFAIL))
    names.add(Record("_xmpp-server._tcp.b.example", NXDOMAIN))
    assert await kind(finder(names), "b.example") == "dns-servfail"


async def test_domains_of_other_scripts_are_asked_as_a_labels(names: Names) -> None:
    names.add(srv("xn--bcher-kva.example", "0 0 5269 one.example."))
    assert [each.target for each in await finder(names).servers("bücher.example")] == ["one.example"]


async def test_addresses_follow_aliases_and_both_families(names: Names) -> None:
    names.add(Record("one.example", "CNAME", "two.example."))
    names.add(Record("two.example", "A", "192.0.2.1"))
    names.add(Record("two.example", "AAAA", "2001:db8::1"))
    assert await finder(names).addresses("one.example", routed=False) == ["2001:db8::1", "192.0.2.1"]


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "169.254.169.254", "100.64.0.1", "0.0.0.0"])
async def test_a_remote_domain_does_not_send_us_into_our_own_networks(names: Names, address: str) -> None:
    names.add(Record("one.example", "A", address))
    with pytest.raises(NotFoundError) as caught:
        await finder(names).addresses("one.example", routed=False)
    assert caught.value.trouble.kind == "policy"
    assert await finder(names, allow_nets=(f"{address}/32",)).addresses("one.example", routed=False) == [
        address
    ]


async def test_addresses_of_this_machine_are_denied_even_in_no_listed_network(names: Names) -> None:
    names.add(Record("one.example", "A", "127.0.0.1"))
    with pytest.raises(NotFoundError):
        await finder(names, deny_nets=()).addresses("one.example", routed=False)


async def test_routes_ask_nobody_and_may_go_anywhere(names: Names) -> None:
    made = finder(names, routes=("b.example=127.0.0.1:1", "*=tls:127.0.0.1:2"))
    assert await made.servers("b.example") == [records.Record(0, 0, 1, "127.0.0.1")]
    assert await made.servers("any.example") == [records.Record(0, 0, 2, "127.0.0.1", True)]
    assert await made.addresses("127.0.0.1", routed=True) == ["127.0.0.1"]
    assert names.asked == []


async def test_answers_are_kept_for_their_time(names: Names) -> None:
    names.add(srv("b.example", "0 0 5269 one.b.example.")._replace(ttl=1))
    made = finder(names)
    for _ in range(5):
        await made.servers("b.example")
    plain = [asked for asked in names.asked if asked[0].startswith("_xmpp-")]
    assert len(plain) == 1
    await trio.sleep(1.2)
    await made.servers("b.example")
    plain = [asked for asked in names.asked if asked[0].startswith("_xmpp-")]
    assert len(plain) == 2


async def test_hundreds_of_dead_names_do_not_delay_a_living_one(names: Names) -> None:
    names.add(srv("b.example", "0 0 5269 one.b.example."))
    made = Finder(S2s(resolver=f"127.0.0.1:{names.port}", dns_seconds=4.0))
    for number in range(200):
        for service in ("_xmpp-server", "_xmpps-server"):
            names.add(Record(f"{service}._tcp.d{number}.example", SILENT))

    async def dead(domain: str) -> None:
        assert await kind(made, domain) == "dns-timeout"

    async with trio.open_nursery() as nursery:
        for number in range(200):
            nursery.start_soon(dead, f"d{number}.example")
        await trio.sleep(1.5)
        with trio.fail_after(1.5):
            assert await made.servers("b.example")


@pytest.mark.parametrize("where", ["localhost:53", "127.0.0.1", "127.0.0.1:x"])
def test_a_resolver_that_is_none_is_refused_at_the_start(where: str) -> None:
    with pytest.raises(ValueError, match=r"s2s\.resolver"):
        Finder(S2s(resolver=where))
