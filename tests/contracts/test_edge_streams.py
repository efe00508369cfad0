"""An edge on real sockets: streams, TLS, limits and draining, with a small cluster on the memory bus behind it."""

from __future__ import annotations

import ssl
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import trio
import trustme
from scramp import ScramClient

from rookery.edge.client import deadlines
from rookery.edge.door.tls import USES
from rookery.shared.bus.messages import Acked, Route, Submit, Unbind
from rookery.shared.config import Limits, Tls
from rookery.shared.net.certificates import CertificateStore
from rookery.shared.xeps import channel_binding
from rookery.shared.xmpp.sasl.binding import tls_server_end_point

from .edge_lab import DOMAIN, HEADER, Lab, running, write_certificates

MESSAGE = f"<message to='bob@{DOMAIN}/r' type='chat' id='{{}}'><body>{{}}</body></message>"
SASL = "urn:ietf:params:xml:ns:xmpp-sasl"


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    async with running(tmp_path) as lab:
        yield lab


# --- the vertical -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tls", [True, False])
async def test_two_clients_talk(lab: Lab, tls: bool) -> None:
    alice, bob = await lab.login("alice", tls=tls), await lab.login("bob", tls=tls)
    await alice.send(MESSAGE.format("m1", "hello &amp; bye"))
    assert await bob.until("</message>") == (
        f"<message from='alice@{DOMAIN}/r' to='bob@{DOMAIN}/r' type='chat' id='m1'><body>hello &amp; bye</body></message>"
    )
    await alice.send("</stream:stream>")
    assert await alice.rest() == "</stream:stream>"
    with trio.fail_after(2):
        while not lab.router.of(Unbind):  # noqa: ASYNC110
            await trio.sleep(0.01)
        while not lab.router.of(Acked):  # noqa: ASYNC110
            await trio.sleep(0.01)
    assert lab.edge._sessions.unaccepted == 0


async def test_a_thousand_stanzas_in_one_write_keep_their_order(lab: Lab) -> None:
    alice, bob = await lab.login("alice"), await lab.login("bob")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(alice.send, "".join(MESSAGE.format(n, "x" * 100) for n in range(1000)))
        text = await bob.until("id='999'.*</message>", 20)
    assert [part.partition("'")[0] for part in text.split(" id='")[1:]] == [str(n) for n in range(1000)]


async def test_one_byte_at_a_time(lab: Lab) -> None:
    alice, bob = await lab.login("alice", tls=False), await lab.login("bob")
    for byte in MESSAGE.format("slow", "ü").encode():
        await alice.send(bytes([byte]))
    assert "<body>ü</body>" in await bob.until("</message>")


class Held:
    """The way out of a TLS stream: keeps what is sent, so that all of it waits for the server at once."""

    def __init__(self) -> None:
        self.sent = b""

    async def send_all(self, data: bytes) -> None:
        self.sent += data


async def test_records_that_wait_take_no_turn_each(lab: Lab) -> None:
    alice, bob = await lab.login("alice"), await lab.login("bob")
    secured = alice.stream
    assert isinstance(secured, trio.SSLStream)
    way_out, held = secured.transport_stream, Held()
    secured.transport_stream = held  # type: ignore[assignment]
    for byte in MESSAGE.format("slow", "x" * 3000).encode():
        await alice.send(bytes([byte]))
    secured.transport_stream = way_out
    began = lab.edge._reactor.turns
    async with trio.open_nursery() as nursery:
        nursery.start_soon(way_out.send_all, held.sent)
        assert "x" * 3000 in await bob.until("</message>", 20)
    # At 64 records in a turn it is some 50 turns, and some more while the kernel's buffers fill.
    assert lab.edge._reactor.turns - began < 300


@pytest.mark.parametrize("size", [20_000, 200_000])
async def test_a_stanza_of_many_records(lab: Lab, size: int) -> None:
    alice, bob = await lab.login("alice"), await lab.login("bob")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(alice.send, MESSAGE.format("big", "x" * size))
        assert len(await bob.until("</message>", 20)) > size


async def test_a_parser_sleeps_while_nothing_comes(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines, "HIBERNATE_SECONDS", 0.05)
    alice, bob = await lab.login("alice"), await lab.login("bob")
    connection = next(iter(lab.edge._door.connections))
    with trio.fail_after(3):
        while connection._inbox.parser._parser is not None:  # noqa: ASYNC110
            await trio.sleep(0.02)
    for n in range(3):
        await alice.send(MESSAGE.format(n, "again"))
        assert f"id='{n}'" in await bob.until("</message>")
        await trio.sleep(0.3)


async def test_a_dead_client_is_noticed(tmp_path: Path) -> None:
    async with running(tmp_path, limits=Limits(idle_seconds=0.3, idle_answer_seconds=0.3)) as lab:
        alive, dead = await lab.login("alice"), await lab.login("bob")
        ping = await alive.until("<iq .*</iq>")
        assert "urn:xmpp:ping" in ping
        number = ping.partition("id='")[2].partition("'")[0]
        await alive.send(f"<iq type='result' id='{number}' to='{DOMAIN}'/>")
        assert "<connection-timeout " in await dead.rest()
        await alive.until("<iq .*</iq>")
        assert not [i for i in lab.router.items if isinstance(i, (Submit, Route)) and i.stanza.kind == "iq"]


# --- negotiation on the wire ------------------------------------------------------------------------------------------


async def test_what_was_pipelined_behind_starttls_is_never_executed(lab: Lab) -> None:
    client = await lab.connect()
    await client.open()
    text = b64encode(b"\0eve\0secret").decode()
    await client.send(
        "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
        f"<auth xmlns='{SASL}' mechanism='PLAIN'>{text}</auth><iq type='get' id='x'/>"
    )
    await client.until("<proceed[^>]*/>")
    await client.wrap()
    features = await client.open()
    assert "mechanisms" in features
    await client.send("</stream:stream>")
    assert "success" not in await client.rest()


async def test_what_is_pipelined_behind_authentication_ends_the_stream(lab: Lab) -> None:
    client = await lab.connect()
    await client.starttls()
    await client.open()
    text = b64encode(b"\0eve\0secret").decode()
    await client.send(f"<auth xmlns='{SASL}' mechanism='PLAIN'>{text}</auth><presence/>")
    assert "<policy-violation " in await client.rest()
    assert lab.router.items == []


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "not-well-formed"),
        ("\x16\x03\x01\x02\x00", "not-well-formed"),
        (HEADER.replace(DOMAIN, "nowhere.example"), "host-unknown"),
        (HEADER + "<message/>", "not-authorized"),
    ],
)
async def test_wrong_beginnings(lab: Lab, raw: str, expected: str) -> None:
    client = await lab.connect()
    await client.send(raw)
    text = await client.rest()
    assert f"<{expected} " in text
    assert text.startswith("<?xml version='1.0'?><stream:stream ")
    assert text.endswith("</stream:stream>")


async def test_nothing_is_bound_unless_that_is_set(lab: Lab) -> None:
    """Clients on libstrophe take any -PLUS mechanism for tls-exporter; without one they may say `y` and log in."""
    client = await lab.connect("c2s_tls")
    await client.wrap()
    features = await client.open()
    assert "SCRAM-SHA-256<" in features
    assert "-PLUS" not in features
    assert "sasl-channel-binding" not in features
    scram = ScramClient(["SCRAM-SHA-256"], "alice", "secret")
    first = scram.get_client_first().removeprefix("n,,")
    await client.send(
        f"<auth xmlns='{SASL}' mechanism='SCRAM-SHA-256'>{b64encode(f'y,,{first}'.encode()).decode()}</auth>"
    )
    assert "<challenge" in await client.until("</challenge>")


@pytest.fixture
async def binding_lab(tmp_path: Path) -> AsyncIterator[Lab]:
    async with running(tmp_path, binding=channel_binding.Options(type="tls-server-end-point")) as lab:
        yield lab


async def test_scram_plus_binds_the_certificate_that_was_served(binding_lab: Lab) -> None:
    lab = binding_lab
    client = await lab.connect("c2s_tls")
    wrapped = await client.wrap()
    certificate = wrapped.getpeercert(binary_form=True)
    binding = tls_server_end_point(certificate)
    scram = ScramClient(
        ["SCRAM-SHA-256-PLUS"], "alice", "secret", channel_binding=("tls-server-end-point", binding)
    )
    await client.open()
    first = b64encode(scram.get_client_first().encode()).decode()
    await client.send(f"<auth xmlns='{SASL}' mechanism='SCRAM-SHA-256-PLUS'>{first}</auth>")
    challenge = await client.until("</challenge>")
    scram.set_server_first(_text(challenge))
    final = b64encode(scram.get_client_final().encode()).decode()
    await client.send(f"<response xmlns='{SASL}'>{final}</response>")
    scram.set_server_final(_text(await client.until("</success>")))
    await client.bind()


def _text(element: str) -> str:
    from base64 import b64decode

    return b64decode(element.rpartition("</")[0].rpartition(">")[2]).decode()


@pytest.mark.parametrize(("user", "password"), [("alice", "wrong"), ("nobody", "secret")])
async def test_wrong_passwords_end_the_stream_at_last(lab: Lab, user: str, password: str) -> None:
    client = await lab.connect()
    await client.starttls()
    await client.open()
    text = b64encode(f"\0{user}\0{password}".encode()).decode()
    for _ in range(5):
        await client.send(f"<auth xmlns='{SASL}' mechanism='PLAIN'>{text}</auth>")
        assert "<not-authorized/>" in await client.until("</failure>")
    assert "<policy-violation " in await client.rest()


async def test_an_address_that_failed_too_often_is_not_even_asked(tmp_path: Path) -> None:
    async with running(tmp_path, limits=Limits(auth_failures_per_ip=2, exempt_nets=())) as lab:
        client = await lab.connect()
        await client.open()
        wrong, right = (b64encode(f"\0alice\0{word}".encode()).decode() for word in ("wrong", "secret"))
        for text, answer in (
            (wrong, "not-authorized"),
            (wrong, "not-authorized"),
            (right, "temporary-auth-failure"),
        ):
            await client.send(f"<auth xmlns='{SASL}' mechanism='PLAIN'>{text}</auth>")
            assert f"<{answer}/>" in await client.until("</failure>")


async def test_registration_before_authentication(lab: Lab) -> None:
    client = await lab.connect()
    await client.starttls()
    assert "iq-register" in await client.open()
    register = "<iq type='set' id='r'><query xmlns='jabber:iq:register'><username>{}</username><password>p</password></query></iq>"
    await client.send(register.format("taken"))
    assert "<conflict " in await client.until("</iq>")
    await client.send(register.format("fresh"))
    await client.until("<iq type='result' id='r'/>")
    assert [(r.username, r.ip) for r in lab.accounts.registered] == [
        ("taken", "127.0.0.1"),
        ("fresh", "127.0.0.1"),
    ]


async def test_a_client_that_leaves_while_binding_is_unbound(lab: Lab) -> None:
    client = await lab.connect()
    await client.authenticate("alice")
    await client.open()
    answer = lab.router.receive
    waiting = trio.Event()

    def later(source: str, partition: int, epoch: int, item: object) -> None:
        waiting.set()
        lab.nursery.start_soon(slowly, source, partition, epoch, item)

    async def slowly(source: str, partition: int, epoch: int, item: object) -> None:
        await trio.sleep(0.2)
        answer(source, partition, epoch, item)  # type: ignore[arg-type]

    lab.router.receive = later  # type: ignore[method-assign]
    await client.send("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>")
    await waiting.wait()
    await client.aclose()
    with trio.fail_after(3):
        while not lab.router.of(Unbind):  # noqa: ASYNC110
            await trio.sleep(0.01)
    assert len(lab.edge._sessions) == 0


# --- TLS --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", [DOMAIN, "other.example"])
async def test_sni_chooses_the_certificate(lab: Lab, host: str) -> None:
    client = await lab.connect("c2s_tls")
    wrapped = await client.wrap(["xmpp-client"], host)
    assert wrapped.selected_alpn_protocol() == "xmpp-client"
    assert "mechanisms" in await client.open(HEADER.replace(DOMAIN, host))


@pytest.mark.parametrize("sni", ["xn--bcher-kva.example", "XN--BCHER-KVA.example."])
@pytest.mark.parametrize("folder", ["bücher.example", "xn--bcher-kva.example"])
async def test_every_form_of_an_internationalised_name_finds_its_certificate(folder: str, sni: str) -> None:
    ca = trustme.CA()
    with TemporaryDirectory() as root:
        (Path(root) / folder).mkdir()
        write_certificates(ca, Path(root), DOMAIN)
        issued = ca.issue_cert("xn--bcher-kva.example")
        chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        (Path(root) / folder / "fullchain.pem").write_bytes(chain)
        issued.private_key_pem.write_to_path(str(Path(root) / folder / "privkey.pem"))
        store = CertificateStore(Tls(directory=root, default_domain=DOMAIN), USES)
        assert store.reload() == 2
        assert store.reload() == 0
        for name in (sni, "bücher.example", "BÜCHER.example"):
            found = store.find(name)
            assert found is not None
            assert found.domain == "bücher.example"
        assert store.default is not None
        assert store.default.domain == DOMAIN


async def test_direct_tls_needs_the_right_protocol_name_or_none(lab: Lab) -> None:
    client = await lab.connect("c2s_tls")
    await client.wrap(None)
    assert "<mechanism>SCRAM-SHA-256</mechanism>" in await client.open()
    client = await lab.connect("c2s_tls")
    with pytest.raises(trio.BrokenResourceError) as caught:
        await client.wrap(["h2", "http/1.1"])
    assert "no application protocol" in str(caught.value.__cause__)


async def test_a_goodbye_in_tls_is_answered(lab: Lab) -> None:
    client = await lab.connect("c2s_tls")
    wrapped = await client.wrap(None)
    await client.open()
    with trio.fail_after(3):
        _, rest = await wrapped.unwrap()  # raises when the other side closes without its own close_notify
    assert rest == b""


async def test_an_error_of_the_client_is_not_answered_by_another(lab: Lab) -> None:
    error = "<stream:error><undefined-condition xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>"
    alice = await lab.login("alice")
    await alice.send(error)
    assert await alice.rest() == "</stream:stream>"
    early = await lab.connect()
    await early.open()
    await early.send(error)
    assert await early.rest() == "</stream:stream>"


async def test_a_hello_in_pieces(lab: Lab) -> None:
    context = lab.client_context(["xmpp-client"])
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=DOMAIN)
    stream = await trio.open_tcp_stream("127.0.0.1", lab.edge.ports["c2s_tls"])
    with trio.fail_after(5):
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                for byte in outgoing.read():
                    await stream.send_all(bytes([byte]))
                    await trio.lowlevel.checkpoint()
                incoming.write(await stream.receive_some())
    assert tls.selected_alpn_protocol() == "xmpp-client"
    await stream.aclose()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
async def test_old_versions_are_refused(lab: Lab, version: ssl.TLSVersion) -> None:
    context = lab.client_context()
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = version
    context.set_ciphers("ALL:@SECLEVEL=0")
    stream = await trio.open_tcp_stream("127.0.0.1", lab.edge.ports["c2s_tls"])
    wrapped = trio.SSLStream(stream, context, server_hostname=DOMAIN)
    with pytest.raises(trio.BrokenResourceError):
        await wrapped.do_handshake()


@pytest.mark.parametrize("ciphers", ["AES128-GCM-SHA256", "ECDHE+AES:!AESGCM:!AESCCM", "DHE+AESGCM"])
async def test_suites_without_forward_secrecy_or_authenticated_encryption_are_refused(
    lab: Lab, ciphers: str
) -> None:
    context = lab.client_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(ciphers)
    stream = await trio.open_tcp_stream("127.0.0.1", lab.edge.ports["c2s_tls"])
    with pytest.raises(trio.BrokenResourceError):
        await trio.SSLStream(stream, context, server_hostname=DOMAIN).do_handshake()


async def test_a_stalled_handshake_is_closed(tmp_path: Path) -> None:
    async with running(tmp_path, limits=Limits(tls_seconds=0.3)) as lab:
        silent = await lab.connect("c2s_tls")
        partial = await lab.connect("c2s_tls")
        await partial.send(b"\x16\x03\x01\x02\x00\x01")
        assert (await silent.rest(), await partial.rest()) == ("", "")


async def test_certificates_are_read_again_without_disturbing_anybody(lab: Lab, tmp_path: Path) -> None:
    before = await lab.login("alice")
    old = await _served(lab)
    write_certificates(lab.ca, tmp_path, DOMAIN)
    lab.edge.reload()
    assert await _served(lab) != old
    after = await lab.login("bob")
    await before.send(MESSAGE.format("1", "still here"))
    await after.until("still here</body></message>")


async def test_a_broken_certificate_leaves_the_old_one(lab: Lab, tmp_path: Path) -> None:
    old = await _served(lab)
    (tmp_path / DOMAIN / "privkey.pem").write_text("nonsense")
    lab.edge.reload()
    assert await _served(lab) == old


async def _served(lab: Lab) -> bytes:
    client = await lab.connect("c2s_tls")
    wrapped = await client.wrap()
    certificate: bytes = wrapped.getpeercert(binary_form=True)
    await client.aclose()
    return certificate
