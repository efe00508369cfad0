"""Streams between servers on real sockets of this machine, with a certificate authority of the lab."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import trio
from tests.contracts.s2s_lab import Recorded, lab, message, until

from rookery.bench.recording.proxy import Recording
from rookery.bench.recording.servers import Servers
from rookery.bench.remotes.authority import Authority
from rookery.workers.s2s.streams.management import Outbound
from rookery.workers.s2s.streams.policies import Policy


@pytest.mark.parametrize("tls", [False, True], ids=["starttls", "direct"])
async def test_certificates_prove_both_sides_and_stanzas_are_acknowledged(tmp_path: Path, tls: bool) -> None:
    async with lab(tmp_path) as here:
        there = here.server("b", "b.example")
        ours = here.server("a", "a.example", routes=(there.way("b.example", tls=tls),))
        owner = Recorded()
        link = ours.streams.open("b.example", "a.example", owner)
        await until(lambda: owner.opened or owner.troubles)
        assert owner.troubles == []
        assert link.open
        for number in range(20):
            link.send(message("romeo@a.example/x", "juliet@b.example", str(number)))
        link.mark()
        await until(lambda: owner.acked == 20)
        assert [stanza.id for stanza in there.taken] == [str(number) for number in range(20)]
        assert link.managed
        link.close()
        await until(lambda: owner.troubles)
        assert owner.troubles[0].kind in ("closed", "shutdown")
        await until(lambda: there.inboxes[0].over)


async def test_without_a_certificate_for_its_name_a_domain_is_not_trusted(tmp_path: Path) -> None:
    async with lab(tmp_path) as here:
        there = here.server("b", "b.example", certified=False)
        there.certify("b.example", "other.example")
        there.certificates.reload()
        ours = here.server("a", "a.example", routes=(there.way("b.example"),))
        owner = Recorded()
        ours.streams.open("b.example", "a.example", owner)
        await until(lambda: owner.troubles)
        assert owner.troubles[0].kind == "untrusted"
        assert owner.troubles[0].permanent
        assert owner.opened == 0


async def test_a_stranger_whose_certificate_is_for_another_name_is_not_let_in(tmp_path: Path) -> None:
    async with lab(tmp_path) as here:
        there = here.server("b", "b.example")
        ours = here.server("a", "a.example", certified=False, routes=(there.way("b.example"),))
        ours.certify("a.example", "other.example")
        ours.certificates.reload()
        owner = Recorded()
        ours.streams.open("b.example", "a.example", owner)
        await until(lambda: owner.troubles)
        assert owner.troubles[0].kind == "auth"
        assert not there.taken


@pytest.mark.parametrize("believed", [True, False])
async def test_dialback_only_for_listed_domains(tmp_path: Path, believed: bool) -> None:
    async with lab(tmp_path) as here:
        # A port that both sides know before either has started.
        ours = here.server("a", "a.example", certified=False)
        there = here.server(
            "b",
            "b.example",
            routes=(ours.way("a.example"),),
            dialback_domains=("a.example",) if believed else (),
        )
        ours.certify("a.example", "nothing.example")
        ours.certificates.reload()
        third = here.server("c", "a.example", certified=False, routes=(there.way("b.example"),))
        third.certify("a.example", "nothing.example")
        third.certificates.reload()
        # Another process of the same cluster: it has the same secret.
        third.streams._ground.secrets = ours.streams._ground.secrets
        owner = Recorded()
        link = third.streams.open("b.example", "a.example", owner)
        await until(lambda: owner.opened or owner.troubles)
        if believed:
            link.send(message("romeo@a.example", "juliet@b.example", "1"))
            link.mark()
            await until(lambda: owner.acked == 1)
            assert [stanza.id for stanza in there.taken] == ["1"]
        else:
            assert owner.troubles[0].kind == "auth"


async def test_a_key_of_another_secret_is_invalid(tmp_path: Path) -> None:
    async with lab(tmp_path) as here:
        ours = here.server("a", "a.example")
        there = here.server(
            "b", "b.example", routes=(ours.way("a.example"),), dialback_domains=("a.example",)
        )
        thief = here.server("c", "a.example", certified=False, routes=(there.way("b.example"),))
        thief.certify("a.example", "thief.example")
        thief.certificates.reload()
        owner = Recorded()
        thief.streams.open("b.example", "a.example", owner)
        await until(lambda: owner.troubles)
        assert owner.troubles[0].condition == "internal-server-error"
        assert not there.inboxes


async def test_a_further_domain_shares_the_stream(tmp_path: Path) -> None:
    async with lab(tmp_path) as here:
        there = here.server("b", "b.example")
        ours = here.server(
            "a", "a.example", "rooms.a.example", certified=False, routes=(there.way("b.example"),)
        )
        ours.certify("a.example", "a.example", "rooms.a.example")
        ours.certificates.reload()
        owner = Recorded()
        link = ours.streams.open("b.example", "a.example", owner)
        await until(lambda: owner.opened)
        link.authenticate("rooms.a.example")
        assert owner.pairs == []
        link.authenticate("thief.example")
        await until(lambda: len(owner.pairs) == 2)
        assert owner.pairs[0] == ("rooms.a.example", None)
        assert owner.pairs[1][1] is not None
        link.send(message("room@rooms.a.example", "juliet@b.example", "1"))
        link.mark()
        await until(lambda: owner.acked == 1)
        assert there.inboxes[0].inlet.remotes == ("a.example", "rooms.a.example")


async def test_a_further_domain_with_a_certificate_of_its_own_gets_a_stream_of_its_own(
    tmp_path: Path,
) -> None:
    async with lab(tmp_path) as here:
        there = here.server("b", "b.example")
        ours = here.server("a", "a.example", "second.example", routes=(there.way("b.example"),))
        owner, second = Recorded(), Recorded()
        link = ours.streams.open("b.example", "a.example", owner)
        await until(lambda: owner.opened)
        link.authenticate("second.example")
        await until(lambda: owner.pairs)
        ((_, trouble),) = owner.pairs
        assert trouble is not None
        assert trouble.kind == "multiplex"
        ours.streams.open("b.example", "second.example", second)
        await until(lambda: second.opened)


async def test_what_is_not_accepted_is_not_acknowledged_and_a_held_stream_waits(tmp_path: Path) -> None:
    async with lab(tmp_path) as here:
        there = here.server("b", "b.example")
        there.quick = False
        ours = here.server("a", "a.example", routes=(there.way("b.example"),))
        owner = Recorded()
        link = ours.streams.open("b.example", "a.example", owner)
        await until(lambda: owner.opened)
        link.send(message("romeo@a.example", "juliet@b.example", "1"))
        link.send(message("romeo@a.example", "juliet@b.example", "2"))
        link.mark()
        await until(lambda: len(there.taken) == 2)
        await trio.sleep(0.05)
        assert owner.acked == 0
        box = there.inboxes[0]
        box.inlet.handled(1)
        box.inlet.hold()
        link.send(message("romeo@a.example", "juliet@b.example", "3"))
        box.inlet.handled(2)
        await until(lambda: owner.acked == 2)
        await trio.sleep(0.05)
        assert len(there.taken) == 2
        box.inlet.release()
        await until(lambda: len(there.taken) == 3)
        # The end waits until what was sent before it is accepted, and is acknowledged.
        link.mark()
        link.close()
        await trio.sleep(0.05)
        assert owner.troubles == []
        box.inlet.handled(3)
        await until(lambda: owner.troubles)
        assert owner.acked == 3


async def test_policies_of_the_hosted_domain(tmp_path: Path) -> None:
    async with lab(tmp_path) as here:
        there = here.server("b", "b.example")
        there.policy = there.policy._replace(mode="closed")
        ours = here.server("a", "a.example", routes=(there.way("b.example"), there.way("unknown.example")))
        owner, lost = Recorded(), Recorded()
        ours.streams.open("b.example", "a.example", owner)
        ours.streams.open("unknown.example", "a.example", lost)
        await until(lambda: owner.troubles and lost.troubles)
        assert owner.troubles[0].kind == "policy"
        assert lost.troubles[0].condition == "remote-server-not-found"


async def test_an_idle_stream_is_closed_by_whoever_opened_it(tmp_path: Path) -> None:
    async with lab(tmp_path) as here:
        there = here.server("b", "b.example")
        ours = here.server("a", "a.example", routes=(there.way("b.example"),), idle_seconds=1.0)
        owner = Recorded()
        link = ours.streams.open("b.example", "a.example", owner)
        await until(lambda: owner.opened)
        link.send(message("romeo@a.example", "juliet@b.example", "1"))
        link.mark()
        await until(lambda: owner.troubles)
        assert owner.acked == 1
        assert [trouble.kind for trouble in owner.troubles] == ["idle"]
        assert not link.open
        await until(lambda: there.inboxes[0].over)


async def test_what_nobody_acknowledges_is_not_handled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other side has no XEP-0198 and answers no ping: the stream ends, though its kernel has everything."""
    monkeypatch.setattr(Outbound, "enable", lambda self: [])
    async with lab(tmp_path) as here:
        there = here.server("b", "b.example")
        ours = here.server("a", "a.example", routes=(there.way("b.example"),), answer_seconds=0.5)
        owner = Recorded()
        link = ours.streams.open("b.example", "a.example", owner)
        await until(lambda: owner.opened)
        link.send(message("romeo@a.example", "juliet@b.example", "1"))
        link.mark()
        await until(lambda: owner.troubles)
        assert [trouble.kind for trouble in owner.troubles] == ["unanswered"]
        assert owner.acked == 0
        assert [stanza.id for stanza in there.taken if stanza.kind == "message"] == ["1"]


async def test_our_own_certificate_is_shown_though_that_of_the_other_side_lies_beside_it(
    tmp_path: Path,
) -> None:
    async with lab(tmp_path) as here:
        there = here.server("b", "b.example")
        ours = here.server("a", "a.example", routes=(there.way("b.example"),))
        ours.certify("b.example")
        ours.certificates.reload()
        owner = Recorded()
        ours.streams.open("b.example", "a.example", owner)
        await until(lambda: owner.opened or owner.troubles)
        assert owner.troubles == []


async def test_a_policy_that_changes_ends_streams_that_are_open(tmp_path: Path) -> None:
    async with lab(tmp_path) as here:
        there = here.server("b", "b.example")
        ours = here.server("a", "a.example", routes=(there.way("b.example"),))
        owner = Recorded()
        ours.streams.open("b.example", "a.example", owner)
        await until(lambda: owner.opened)
        there.policy = Policy("closed")
        there.streams.enforce()
        await until(lambda: owner.troubles)
        assert owner.troubles[0].kind == "policy"
        assert "policy-violation" in owner.troubles[0].text
        # And neither side opens another one.
        ours.streams.open("b.example", "a.example", again := Recorded())
        await until(lambda: again.troubles)
        assert again.troubles[0].kind == "policy"
        ours.policy = Policy("closed")
        ours.streams.open("b.example", "a.example", third := Recorded())
        await until(lambda: third.troubles)
        assert third.troubles[0].condition == "not-allowed"


async def test_what_servers_say_is_recorded_in_between(tmp_path: Path) -> None:
    """`bench record --s2s-ca`: both prove themselves by certificates to one another, as they think."""
    async with lab(tmp_path) as here:
        (tmp_path / "ca.pem.key").write_bytes(here.authority.private_key_pem.bytes())
        there = here.server("b", "b.example")
        tape, ready = io.StringIO(), trio.Event()
        ports: list[int] = []
        made = Recording(tape, "seed", servers=Servers(Authority.load(str(here.ca_file)), tmp_path))

        def listening(port: int) -> None:
            ports.append(port)
            ready.set()

        here.nursery.start_soon(made.serve, ("127.0.0.1", 0), ("127.0.0.1", there.ports["s2s"]), listening)
        await ready.wait()
        ours = here.server("a", "a.example", routes=(f"b.example=127.0.0.1:{ports[0]}",))
        owner = Recorded()
        link = ours.streams.open("b.example", "a.example", owner)
        await until(lambda: owner.opened)
        link.send(message("ann@a.example/r", "bob@b.example", "hello"))
        await until(lambda: there.taken)
        assert there.taken[0].from_ == "ann@a.example/r"
        assert made.messages == 1
        assert "ann" not in tape.getvalue()
        assert "hello" not in tape.getvalue()
        direct = here.server("c", "c.example", routes=(f"b.example=tls:127.0.0.1:{ports[0]}",))
        other = Recorded()
        direct.streams.open("b.example", "c.example", other)
        await until(lambda: made.sealed)
        assert not other.opened
