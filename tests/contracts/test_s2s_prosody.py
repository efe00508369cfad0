"""Streams with a real Prosody, in both directions: certificates, dialback, one stream for both, acknowledgements."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import pytest
import trio
from tests.conftest import scratch_directory
from tests.contracts.s2s_lab import Lab, Recorded, Server, lab, message, until
from tests.contracts.s2s_peers import Prosody, prosody

from rookery.bench.remotes.dns import Names
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

pytestmark = pytest.mark.slow
PING = Stanza.build(
    "iq", Element("urn:xmpp:ping", "ping"), type="get", from_="romeo@a.example/x", to="p.example", id="ping1"
)


class World:
    """A server of ours and a Prosody that find each other by DNS."""

    def __init__(self, here: Lab, ours: Server, theirs: Prosody) -> None:
        self.lab = here
        self.ours = ours
        self.theirs = theirs


@asynccontextmanager
async def world(
    folder: Path,
    *,
    tls: bool = False,
    modules: tuple[str, ...] = (),
    more: str = "s2s_secure_auth = true",
    certificate: str = "p.example",
    **settings: object,
) -> AsyncIterator[World]:
    with ExitStack() as here_after, Names() as names:
        async with lab(folder) as here:
            # Prosody runs as its own user, which may not look into pytest's folders.
            home = scratch_directory()
            home.mkdir(mode=0o755)
            here_after.callback(shutil.rmtree, home)
            made = Prosody(home, "p.example", names.port)
            issued = here.authority.issue_cert(certificate)
            (home / "chain.pem").write_bytes(b"".join(each.bytes() for each in issued.cert_chain_pems))
            (home / "key.pem").write_bytes(issued.private_key_pem.bytes())
            names.serve("p.example", made.tls_port if tls else made.port, tls=tls)
            authorities = Path(shutil.copy(here.ca_file, home))
            with prosody(made, authorities, modules=modules, more=more):
                ours = here.server("a", "a.example", resolver=f"127.0.0.1:{names.port}", **settings)
                names.serve("a.example", ours.ports["s2s_tls" if tls else "s2s"], tls=tls)
                await up(made)
                yield World(here, ours, made)


async def up(made: Prosody) -> None:
    """Both ports are there: Prosody opens one after the other."""
    waits = [made.port, made.tls_port]
    with trio.fail_after(20):
        while waits:
            try:
                await (await trio.open_tcp_stream("127.0.0.1", waits[0])).aclose()
                del waits[0]
            except OSError:
                assert made.process is not None
                assert made.process.poll() is None, (made.folder / "output.log").read_text()
                await trio.sleep(0.1)


async def opened(made: World) -> tuple[Recorded, object]:
    owner = Recorded()
    link = made.ours.streams.open("p.example", "a.example", owner)
    await until(lambda: owner.opened or owner.troubles, 20)
    assert owner.troubles == [], (owner.troubles, made.theirs.log[-3000:])
    return owner, link


async def both_ways(made: World) -> None:
    """Twenty messages to nobody come back as errors, in order, and the ping is answered; everything is acknowledged."""
    owner, link = await opened(made)
    for number in range(20):
        link.send(message("romeo@a.example/x", "nobody@p.example", str(number)))  # type: ignore[attr-defined]
    link.send(PING)  # type: ignore[attr-defined]
    link.mark()  # type: ignore[attr-defined]
    await until(lambda: owner.acked == 21, 10)
    await until(lambda: len(made.ours.taken) >= 21, 10)
    errors = [stanza.id for stanza in made.ours.taken if stanza.kind == "message"]
    assert errors == [str(number) for number in range(20)]
    assert [stanza.type for stanza in made.ours.taken if stanza.kind == "iq"] == ["result"]


@pytest.mark.parametrize("tls", [False, True], ids=["starttls", "direct"])
@pytest.mark.parametrize("bidi", [False, True], ids=["two streams", "one stream"])
async def test_certificates_both_ways(tmp_path: Path, tls: bool, bidi: bool) -> None:
    modules = ("s2s_bidi",) if bidi else ()
    async with world(tmp_path, tls=tls, modules=modules) as made:
        await both_ways(made)
        assert len(made.ours.streams.door.streams) == (0 if bidi else 1)


async def test_dialback_both_ways(tmp_path: Path) -> None:
    """Neither side has a certificate that the other believes."""
    more = "s2s_secure_auth = false"
    async with world(
        tmp_path, more=more, certificate="other.example", dialback_domains=("p.example",)
    ) as made:
        made.ours.certify("a.example", "another.example")
        made.ours.certificates.reload()
        await both_ways(made)


async def test_a_prosody_without_its_certificate_is_not_trusted(tmp_path: Path) -> None:
    async with world(tmp_path, certificate="other.example") as made:
        owner = Recorded()
        made.ours.streams.open("p.example", "a.example", owner)
        await until(lambda: owner.troubles, 20)
        assert owner.troubles[0].kind == "untrusted"


async def test_a_prosody_that_does_not_believe_us_says_so(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        made.ours.certify("a.example", "another.example")
        made.ours.certificates.reload()
        owner = Recorded()
        made.ours.streams.open("p.example", "a.example", owner)
        await until(lambda: owner.troubles, 30)
        assert owner.troubles[0].kind in ("auth", "policy", "stream")


async def test_without_their_stream_management_a_ping_behind_the_stanzas_counts(tmp_path: Path) -> None:
    async with world(tmp_path, more="s2s_secure_auth = true\nsmacks_enabled_s2s = false") as made:
        owner, link = await opened(made)
        link.send(message("romeo@a.example/x", "nobody@p.example", "1"))  # type: ignore[attr-defined]
        link.mark()  # type: ignore[attr-defined]
        await until(lambda: owner.acked == 1, 10)
        assert not link.managed  # type: ignore[attr-defined]
        await until(lambda: made.ours.taken)
        assert [stanza.id for stanza in made.ours.taken] == ["1"]


async def test_a_killed_prosody_acknowledges_nothing_more(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        owner, link = await opened(made)
        assert made.theirs.process is not None
        made.theirs.process.kill()
        await until(lambda: owner.troubles, 10)
        assert owner.troubles[0].kind == "closed"
        link.send(message("romeo@a.example/x", "nobody@p.example", "1"))  # type: ignore[attr-defined]
        assert owner.acked == 0
        assert not link.open  # type: ignore[attr-defined]
