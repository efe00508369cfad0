"""TLS, SASL and binding: RFC 6120 sections 5 to 7, RFC 5802, RFC 7590."""

from __future__ import annotations

import base64
import re
import ssl
import time
import warnings

import pytest
import trio
from tests.cluster.people import People, bare, condition, error_of, exchange, header, refused
from tests.stories.client import SASL, Client, LoginError, StreamEndError

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

_STARTTLS = b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"


def plain(user: str, password: str, authzid: str = "") -> str:
    """The initial response of PLAIN."""
    return base64.b64encode(f"{authzid}\0{user}\0{password}".encode()).decode()


def auth(mechanism: str, data: str) -> str:
    """An auth element."""
    return f"<auth xmlns='{SASL}' mechanism='{mechanism}'>{data}</auth>"


async def failure(client: Client) -> str:
    """The condition of the SASL failure that comes next."""
    answer = await client.receive()
    assert answer.tag == f"{{{SASL}}}failure", answer.tag
    return answer[0].tag.rpartition("}")[2]


async def alive(client: Client) -> None:
    """The stream still takes a login attempt."""
    await client.send_raw(auth("PLAIN", plain("nobody", "x")))
    assert await failure(client) == "not-authorized"


# --- TLS -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "extra",
    [
        auth("PLAIN", plain("nobody", "x")).encode(),
        b"<iq type='get' id='early'><query xmlns='jabber:iq:roster'/></iq>",
        header(),
    ],
    ids=["auth", "iq", "header"],
)
async def test_what_is_sent_after_starttls_is_not_executed(people: People, extra: bytes) -> None:
    client = people.client("plain")
    await client.connect()
    await client.send_raw(_STARTTLS + extra)
    context = people.cluster.endpoint(0).tls
    assert context is not None
    try:
        answer = await client.receive()
        assert answer.tag == "{urn:ietf:params:xml:ns:xmpp-tls}proceed"
        with trio.fail_after(10):
            await client._tcp.start_tls(context, "localhost")
            await client.open_stream()
    except (StreamEndError, trio.BrokenResourceError, LoginError):
        return
    await alive(client)
    assert not client.inbox


@pytest.mark.parametrize(
    "data",
    [
        auth("PLAIN", plain("nobody", "x")),
        auth("SCRAM-SHA-256", base64.b64encode(b"n,,n=a,r=b").decode()),
        "<iq type='get' id='q'><query xmlns='jabber:iq:register'/></iq>",
        "<compress xmlns='http://jabber.org/protocol/compress'><method>zlib</method></compress>",
        "<message to='someone@localhost'><body>x</body></message>",
    ],
    ids=["plain", "scram", "register", "compress", "message"],
)
async def test_nothing_goes_without_tls(people: People, data: str) -> None:
    client = await people.stream("plain")
    assert client.mechanisms() == []
    assert client.features is not None
    assert (
        client.features.find(
            "{urn:ietf:params:xml:ns:xmpp-tls}starttls/{urn:ietf:params:xml:ns:xmpp-tls}required"
        )
        is not None
    )
    await client.send_raw(data)
    try:
        answer = await client.receive()
    except StreamEndError:
        return
    if answer.tag == f"{{{SASL}}}failure":
        assert answer[0].tag == f"{{{SASL}}}encryption-required"
    else:
        assert await refused(client) in {"policy-violation", "not-authorized", "unsupported-stanza-type"}


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1], ids=["1.0", "1.1"])
async def test_old_versions_are_refused(people: People, version: ssl.TLSVersion) -> None:
    context = ssl.create_default_context(cadata=people.cluster.authority)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = version
        context.maximum_version = version
    context.set_ciphers("ALL:@SECLEVEL=0")
    await _no_handshake(people, context)


@pytest.mark.parametrize(
    "ciphers", ["AES128-SHA", "AES256-GCM-SHA384", "ECDHE-RSA-AES128-SHA", "NULL", "aNULL", "3DES"]
)
async def test_weak_ciphers_are_refused(people: People, ciphers: str) -> None:
    context = ssl.create_default_context(cadata=people.cluster.authority)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.set_ciphers(f"{ciphers}:@SECLEVEL=0")
    except ssl.SSLError:
        pytest.skip("this OpenSSL does not have them either")
    await _no_handshake(people, context)


async def _no_handshake(people: People, context: ssl.SSLContext) -> None:
    end = people.cluster.endpoint(0, "tls")
    stream = trio.SSLStream(
        await trio.open_tcp_stream(end.host, end.port), context, server_hostname="localhost"
    )
    with pytest.raises(trio.BrokenResourceError), trio.fail_after(10):
        await stream.do_handshake()
    await trio.aclose_forcefully(stream)


async def test_other_protocols_are_refused_at_the_tls_port(people: People) -> None:
    context = ssl.create_default_context(cadata=people.cluster.authority)
    context.set_alpn_protocols(["http/1.1"])
    await _no_handshake(people, context)


async def test_a_new_stream_after_tls(people: People) -> None:
    client = people.client("plain")
    await client.connect()
    assert client.header is not None
    first = client.header["id"]
    await client.send_raw(_STARTTLS)
    assert (await client.receive()).tag.endswith("}proceed")
    context = people.cluster.endpoint(0).tls
    assert context is not None
    await client._tcp.start_tls(context, "localhost")
    await client.open_stream()
    assert client.header["id"] != first
    assert client.mechanisms()


# --- SASL ----------------------------------------------------------------------------------------------------------


async def test_a_session_never_changes_its_host(people: People) -> None:
    client = await people.stream()
    user, password = people.account()
    await client.send_raw(auth("PLAIN", plain(user, password)))
    assert (await client.receive()).tag == f"{{{SASL}}}success"
    try:
        await client.open_stream("other.localhost")
    except LoginError:
        assert await refused(client) in {
            "host-unknown",
            "not-authorized",
            "improper-addressing",
            "policy-violation",
        }
    else:
        pytest.fail("the stream went on with another host")


@pytest.mark.parametrize(
    "stanza",
    [
        "<message to='{victim}'><body>x</body></message>",
        "<presence to='{victim}'/>",
        "<iq type='get' id='q'><query xmlns='jabber:iq:roster'/></iq>",
        "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>",
    ],
    ids=["message", "presence", "roster", "bind"],
)
async def test_no_stanza_before_authentication(people: People, stanza: str) -> None:
    victim = await people.bound()
    client = await people.stream()
    await client.send_raw(stanza.format(victim=victim.jid))
    assert await refused(client) in {"not-authorized", "policy-violation", "unsupported-stanza-type"}
    assert (await victim.ping()).get("type") == "result"
    assert not victim.inbox


@pytest.mark.parametrize(
    "element",
    ["<enable xmlns='urn:xmpp:sm:3' resume='true'/>", "<resume xmlns='urn:xmpp:sm:3' previd='x' h='0'/>"],
)
async def test_no_stream_management_before_authentication(people: People, element: str) -> None:
    """XEP-0198 section 3: such an attempt fails, and costs the stream nothing but that."""
    client = await people.stream()
    await client.send_raw(element)
    answer = await client.receive()
    assert answer.tag == "{urn:xmpp:sm:3}failed"
    assert {child.tag.partition("}")[2] for child in answer} <= {"not-authorized", "unexpected-request"}
    await client.authenticate(*people.account())


@pytest.mark.parametrize(
    "stanza",
    [
        "<message to='{victim}'><body>x</body></message>",
        "<presence to='{victim}'/>",
        "<iq type='get' id='q'><query xmlns='jabber:iq:roster'/></iq>",
    ],
    ids=["message", "presence", "roster"],
)
async def test_no_stanza_before_a_resource_is_bound(people: People, stanza: str) -> None:
    victim = await people.bound()
    client = await people.stream()
    await client.authenticate(*people.account())
    await client.send_raw(stanza.format(victim=victim.jid))
    try:
        answer = await client.receive()
    except StreamEndError:
        pass
    else:
        if client.error is None:
            assert error_of(answer) in {"not-authorized", "not-allowed"}
        else:
            assert await refused(client) == "not-authorized"
    assert (await victim.ping()).get("type") == "result"
    assert not victim.inbox


AUTHZID = {
    "other user": "{other}@localhost",
    "other domain": "{user}@other.localhost",
    "malformed": "@@",
    "full": "{user}@localhost/x",
}


@pytest.mark.parametrize("authzid", AUTHZID.values(), ids=AUTHZID.keys())
async def test_nobody_becomes_another(people: People, authzid: str) -> None:
    user, password = people.account()
    other, _ = people.account()
    client = await people.stream()
    await client.send_raw(auth("PLAIN", plain(user, password, authzid.format(user=user, other=other))))
    assert await failure(client) in {"invalid-authzid", "not-authorized", "malformed-request"}


async def test_ones_own_authzid_is_fine(people: People) -> None:
    user, password = people.account()
    client = await people.stream()
    await client.send_raw(auth("PLAIN", plain(user, password, f"{user}@localhost")))
    assert (await client.receive()).tag == f"{{{SASL}}}success"


MALFORMED = {
    "nothing": "=",
    "no separator": base64.b64encode(b"user").decode(),
    "three": base64.b64encode(b"\0user\0pw\0x").decode(),
    "no user": base64.b64encode(b"\0\0pw").decode(),
    "no password": base64.b64encode(b"\0user\0").decode(),
    "not utf-8": base64.b64encode(b"\0us\xff\0pw").decode(),
}
NOT_BASE64 = {"garbage": "!!!!", "space": "AGEA YgA=", "padding": "A===", "length": "AGE", "url-safe": "AG_-"}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED.keys())
async def test_malformed_plain(people: People, data: str) -> None:
    client = await people.stream()
    await client.send_raw(auth("PLAIN", data))
    assert await failure(client) in {"malformed-request", "not-authorized"}
    await alive(client)


@pytest.mark.parametrize("data", NOT_BASE64.values(), ids=NOT_BASE64.keys())
async def test_base64_is_strict(people: People, data: str) -> None:
    client = await people.stream()
    await client.send_raw(auth("PLAIN", data))
    assert await failure(client) in {"incorrect-encoding", "malformed-request"}
    await alive(client)


def b64(text: str) -> str:
    """Base64 of a text."""
    return base64.b64encode(text.encode()).decode()


SCRAM_FIRST = {
    "empty user": "n,,n=,r=abc",
    "no nonce": "n,,n=user",
    "empty nonce": "n,,n=user,r=",
    "extension": "n,,m=1,n=user,r=abc",
    "no gs2": "n=user,r=abc",
    "bad escape": "n,,n=us=3er,r=abc",
    "bad flag": "x,,n=user,r=abc",
    "foreign authzid": "n,a=other,n=user,r=abc",
    "downgraded": "y,,n=user,r=abc",
    "binding without -PLUS": "p=tls-server-end-point,,n=user,r=abc",
}


@pytest.mark.parametrize("first", SCRAM_FIRST.values(), ids=SCRAM_FIRST.keys())
async def test_malformed_scram(people: People, first: str) -> None:
    client = await people.stream()
    await client.send_raw(auth("SCRAM-SHA-256", b64(first)))
    try:
        answer = await client.receive()
    except StreamEndError:
        return
    if answer.tag == f"{{{SASL}}}challenge":
        # Said at the end, so that nothing can be learnt of accounts.
        nonce = re.search("r=([^,]+)", base64.b64decode(answer.text or "").decode())
        assert nonce
        await client.send_raw(
            f"<response xmlns='{SASL}'>{b64(f'c={b64(first[: first.index(chr(110) + chr(61))])},r={nonce[1]},p=AAAA')}</response>"
        )
        answer = await client.receive()
    assert answer.tag == f"{{{SASL}}}failure"
    await alive(client)


@pytest.mark.parametrize(
    "final",
    ["c=biws,r=other,p=AAAA", "c=eSws,r={nonce},p=AAAA", "c=biws,r={nonce}", "", "c=biws,r={nonce},p=!!"],
    ids=["nonce", "binding", "no proof", "empty", "base64"],
)
async def test_wrong_final(people: People, final: str) -> None:
    user, _ = people.account()
    client = await people.stream()
    await client.send_raw(auth("SCRAM-SHA-1", b64(f"n,,n={user},r=abcdefgh")))
    challenge = base64.b64decode((await client.receive()).text or "").decode()
    nonce = re.search("r=([^,]+)", challenge)
    assert nonce
    assert nonce[1].startswith("abcdefgh")
    await client.send_raw(f"<response xmlns='{SASL}'>{b64(final.format(nonce=nonce[1]))}</response>")
    assert await failure(client) in {"not-authorized", "malformed-request"}
    await alive(client)


async def test_unknown_users_look_like_known_ones(people: People) -> None:
    user, _ = people.account()

    async def challenge(name: str) -> tuple[int, str, str]:
        client = await people.stream()
        await client.send_raw(auth("SCRAM-SHA-256", b64(f"n,,n={name},r=abcdefgh")))
        fields = dict(
            part.split("=", 1)
            for part in base64.b64decode((await client.receive()).text or "").decode().split(",")
        )
        return len(fields["s"]), fields["s"], fields["i"]

    known, unknown = await challenge(user), await challenge("nobody-at-all")
    assert (known[0], known[2]) == (unknown[0], unknown[2])
    assert await challenge("nobody-at-all") == unknown
    assert (await challenge("nobody-else"))[1] != unknown[1]


async def test_a_stream_has_few_attempts(people: People) -> None:
    user, password = people.account()
    client = await people.stream()
    failures = 0
    while failures < 10 and not client.ended and client.error is None:
        await client.send_raw(auth("PLAIN", plain(user, "wrong")))
        failures += (await client.receive()).tag == f"{{{SASL}}}failure"
    assert 2 <= failures <= 5
    assert await refused(client) in {"policy-violation", ""}
    other = people.client()
    await other.login(user, password)


@pytest.mark.parametrize(
    "element",
    [f"<response xmlns='{SASL}'>AA==</response>", f"<abort xmlns='{SASL}'/>"],
    ids=["response", "abort"],
)
async def test_out_of_order(people: People, element: str) -> None:
    client = await people.stream()
    await client.send_raw(element)
    try:
        answer = await client.receive()
    except StreamEndError:
        return
    assert answer.tag == f"{{{SASL}}}failure" or client.error is not None


async def test_abort(people: People) -> None:
    client = await people.stream()
    await client.send_raw(auth("SCRAM-SHA-256", b64("n,,n=user,r=abcdefgh")))
    assert (await client.receive()).tag == f"{{{SASL}}}challenge"
    await client.send_raw(f"<abort xmlns='{SASL}'/>")
    assert await failure(client) == "aborted"
    await alive(client)


async def test_auth_twice(people: People) -> None:
    client = await people.bound()
    await client.send_raw(auth("PLAIN", plain("nobody", "x")))
    assert await refused(client) in {
        "policy-violation",
        "unsupported-stanza-type",
        "not-authorized",
        "bad-format",
    }


@pytest.mark.parametrize(
    "mechanism", ["scram-sha-1", "plain", "DIGEST-MD5", "ANONYMOUS", "EXTERNAL", "CRAM-MD5", "X", ""]
)
async def test_other_mechanisms(people: People, mechanism: str) -> None:
    client = await people.stream()
    assert mechanism not in client.mechanisms()
    await client.send_raw(auth(mechanism, "AA=="))
    assert await failure(client) in {"invalid-mechanism", "malformed-request"}
    await alive(client)


# --- addresses and binding -----------------------------------------------------------------------------------------

BAD_JIDS = {
    "long local": "l" * 1024 + "@localhost",
    "long resource": "user@localhost/" + "r" * 1024,
    "long domain": "user@" + "d" * 1024,
    "empty local": "@localhost",
    "empty resource": "user@localhost/",
    "two ats": "a@b@localhost",
    "space": "a b@localhost",
    "control": "a\tb@localhost",
    "quote": "a&quot;b@localhost",
    "ampersand": "a&amp;b@localhost",
    "apostrophe": "a&apos;b@localhost",
    "angle": "a&lt;b@localhost",
    "colon": "a:b@localhost",
    "unassigned": "a\u0378b@localhost",
    "bad idna": "user@xn--0.example",
    "empty label": "user@a..example",
    "multi-byte": "é" * 512 + "@localhost",
}


@pytest.mark.parametrize("to", BAD_JIDS.values(), ids=BAD_JIDS.keys())
async def test_malformed_addresses(people: People, to: str) -> None:
    client = await people.bound()
    for kind in ("message", "iq", "presence"):
        inner = "<ping xmlns='urn:xmpp:ping'/>" if kind == "iq" else ""
        type = " type='get'" if kind == "iq" else ""
        await client.send_raw(f"<{kind} to='{to}' id='{kind}'{type}>{inner}</{kind}>")
        answer = await client.receive()
        assert client.error is None
        assert answer.get("id") == kind
        assert error_of(answer) == "jid-malformed"


async def test_the_longest_are_fine(people: People) -> None:
    client = await people.bound(resource="r" * 1023)
    assert client.jid.endswith("/" + "r" * 1023)
    other = await people.bound()
    await other.send(f"<message to='{client.jid}' id='m'><body>x</body></message>")
    assert (await client.receive()).get("id") == "m"


@pytest.mark.parametrize("resource", ["r" * 1024, "é" * 512], ids=["long", "multi-byte"])
async def test_too_long_resource(people: People, resource: str) -> None:
    """RFC 6120 section 7.7.2.1: it is brought into conformance."""
    client = await people.stream()
    await client.authenticate(*people.account())
    await client.bind(resource)
    bound = client.jid.partition("/")[2]
    assert 1000 < len(bound.encode()) <= 1023
    assert resource.startswith(bound)
    assert (await client.ping()).get("type") == "result"


async def test_bind_twice(people: People) -> None:
    client = await people.bound()
    answer = await client.request(
        "<iq type='set' id='b2'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>"
    )
    assert error_of(answer) == "not-allowed"


async def test_one_resource_on_two_edges(people: People) -> None:
    account = people.account()
    survivors = 0
    for _ in range(10):
        streams = [people.client(edge=edge) for edge in range(4)]

        async def bind(client: Client) -> None:
            try:
                await client.login(*account, "desk")
            except (LoginError, StreamEndError):
                return

        async with trio.open_nursery() as nursery:
            for client in streams:
                nursery.start_soon(bind, client)
        alive_now = []
        for client in streams:
            try:
                if (await client.ping(timeout=10)).get("type") == "result":
                    alive_now.append(client)
            except StreamEndError:
                assert client.error is None or client.error[0].tag.endswith("}conflict")
        # A conflict may still be under way to a stream that answered: ask again.
        last = []
        for client in alive_now:
            try:
                await client.ping(timeout=10)
                last.append(client)
            except StreamEndError:
                continue
        assert len(last) == 1
        survivors += len(last)
        for client in streams:
            await client.drop()
    assert survivors == 10


async def test_too_many_resources(people: People) -> None:
    account = people.account()
    for number in range(10):
        await people.bound(account, f"r{number}")
    one_more = people.client()
    with pytest.raises(LoginError, match="resource-constraint"):
        await one_more.login(*account, "r10")


async def test_a_browser_is_sent_away_fast(people: People) -> None:
    began = time.monotonic()
    received = await exchange(
        people.cluster.endpoint(0, "plain"), b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    )
    assert time.monotonic() - began < 2
    assert condition(received) in {"not-well-formed", "bad-format", "invalid-xml", ""}


async def test_bare_jid_is_prepared(people: People) -> None:
    user, password = people.account()
    client = await people.stream()
    await client.authenticate(user.upper(), password)
    await client.bind("x")
    assert bare(client) == f"{user}@localhost"
