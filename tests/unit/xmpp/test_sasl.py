"""SASL machines: vectors of RFC 5802 and RFC 7677, an independent client (scramp), and bad input."""

from __future__ import annotations

import datetime as dt
import hashlib
from base64 import b64encode
from hashlib import sha256, sha384
from typing import NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st
from scramp import ScramClient, ScramException
from tests.examples import many

from rookery.shared.xmpp.sasl.binding import tls_server_end_point
from rookery.shared.xmpp.sasl.common import SaslFailure, decode_base64, prepare_password
from rookery.shared.xmpp.sasl.downgrade import advertised
from rookery.shared.xmpp.sasl.keys import HASHES, SIZES, derive_keys, keys_of, verify_plain
from rookery.shared.xmpp.sasl.plain import parse_plain
from rookery.shared.xmpp.sasl.scram import ScramServer

SALT = b"0123456789abcdef"
MECHANISMS = ("SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS")
BINDINGS = {"tls-server-end-point": b"hash of the certificate"}


class Keys(NamedTuple):
    exists: bool
    salt: bytes
    iterations: int
    stored_key: bytes
    server_key: bytes


def keys(
    password: str, mechanism: str, *, exists: bool = True, salt: bytes = SALT, iterations: int = 4096
) -> Keys:
    return Keys(exists, salt, iterations, *derive_keys(password, mechanism, salt, iterations))


def failure(condition: str) -> pytest.RaisesExc[SaslFailure]:
    return pytest.RaisesExc(SaslFailure, check=lambda error: error.condition == condition)


@pytest.mark.parametrize(
    ("mechanism", "client_nonce", "server_nonce", "salt", "proof", "verifier"),
    [
        (
            "SCRAM-SHA-1",
            "fyko+d2lbbFgONRv9qkxdawL",
            "3rfcNHYJY1ZVvWVs7j",
            "QSXCR+Q6sek8bf92",
            "v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
            "rmF9pqV8S7suAoZWja4dJRkFsKQ=",
        ),
        (
            "SCRAM-SHA-256",
            "rOprNGfwEbeRWgbNEkqO",
            "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
            "W22ZaJ0SNY7soEsUEjb6gQ==",
            "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
            "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        ),
    ],
    ids=["RFC 5802 section 5", "RFC 7677 section 3"],
)
def test_vectors(
    mechanism: str, client_nonce: str, server_nonce: str, salt: str, proof: str, verifier: str
) -> None:
    server = ScramServer(mechanism, domain="example.org", nonce=server_nonce)
    assert server.first(f"n,,n=user,r={client_nonce}".encode()) == "user@example.org"
    challenge = server.challenge(keys("pencil", mechanism, salt=decode_base64(salt)))
    assert challenge == f"r={client_nonce}{server_nonce},s={salt},i=4096".encode()
    final = server.final(f"c=biws,r={client_nonce}{server_nonce},p={proof}".encode())
    assert final == f"v={verifier}".encode()


def log_in(mechanism: str, password: str, stored: Keys, username: str = "user") -> None:
    plus = mechanism.endswith("-PLUS")
    client = ScramClient(
        [mechanism],
        username,
        password,
        channel_binding=("tls-server-end-point", BINDINGS["tls-server-end-point"]) if plus else None,
    )
    server = ScramServer(mechanism, domain="example.org", nonce="ServerNonce", bindings=BINDINGS)
    server.first(client.get_client_first().encode())
    client.set_server_first(server.challenge(stored).decode())
    client.set_server_final(server.final(client.get_client_final().encode()).decode())


@pytest.mark.parametrize("mechanism", MECHANISMS)
@settings(max_examples=many(20), deadline=None)
@given(password=st.text(min_size=1, max_size=30))
def test_an_independent_client_logs_in(mechanism: str, password: str) -> None:
    try:
        client_side = ScramClient(["SCRAM-SHA-1"], "user", password)
        stored = keys(password, mechanism)
    except (ScramException, ValueError):
        return  # one of the two refuses that password at once
    del client_side
    log_in(mechanism, password, stored)


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_wrong_password_and_unknown_user_fail_alike(mechanism: str) -> None:
    with failure("not-authorized") as wrong:
        log_in(mechanism, "wrong", keys("pencil", mechanism))
    with failure("not-authorized") as unknown:
        log_in(mechanism, "pencil", keys("pencil", mechanism, exists=False))
    assert wrong.value.text == unknown.value.text


def test_user_names_are_unescaped_and_prepared() -> None:
    server = ScramServer("SCRAM-SHA-1", domain="example.org", nonce="x")
    assert server.first(b"n,,n=A=3D2C=2Cb,r=abc") == "a=2c,b@example.org"


@pytest.mark.parametrize(
    ("mechanism", "bindings", "message", "condition"),
    [
        ("SCRAM-SHA-1", {}, b"", "malformed-request"),
        ("SCRAM-SHA-1", {}, b"\xff", "malformed-request"),
        ("SCRAM-SHA-1", {}, b"n,n=user,r=abc", "malformed-request"),
        ("SCRAM-SHA-1", {}, b"x,,n=user,r=abc", "malformed-request"),
        ("SCRAM-SHA-1", {}, b"n,,m=ext,n=user,r=abc", "malformed-request"),
        ("SCRAM-SHA-1", {}, b"n,,n=,r=abc", "malformed-request"),
        ("SCRAM-SHA-1", {}, b"n,,n=us=er,r=abc", "malformed-request"),
        ("SCRAM-SHA-1", {}, b"n,,n=user,r=", "malformed-request"),
        ("SCRAM-SHA-1", {}, b"n,,n=user,r=a\x01", "malformed-request"),
        ("SCRAM-SHA-1", {}, b"n,,n=user,r=abc,zz", "malformed-request"),
        ("SCRAM-SHA-1", {}, b"n,,r=abc,n=user", "malformed-request"),
        ("SCRAM-SHA-1", {}, b"n,,n=us er,r=abc", "not-authorized"),
        ("SCRAM-SHA-1", {}, b"n,a=other@example.org,n=user,r=abc", "invalid-authzid"),
        ("SCRAM-SHA-1", {}, b"n,a=user@example.net,n=user,r=abc", "invalid-authzid"),
        ("SCRAM-SHA-1", {}, b"n,a=user@example.org/x,n=user,r=abc", "invalid-authzid"),
        ("SCRAM-SHA-1", {}, b"n,a=@,n=user,r=abc", "invalid-authzid"),
        ("SCRAM-SHA-1", BINDINGS, b"y,,n=user,r=abc", "not-authorized"),
        ("SCRAM-SHA-1", BINDINGS, b"p=tls-server-end-point,,n=user,r=abc", "malformed-request"),
        ("SCRAM-SHA-1-PLUS", BINDINGS, b"n,,n=user,r=abc", "malformed-request"),
        ("SCRAM-SHA-1-PLUS", BINDINGS, b"y,,n=user,r=abc", "malformed-request"),
        ("SCRAM-SHA-1-PLUS", BINDINGS, b"p=tls-unique,,n=user,r=abc", "malformed-request"),
    ],
)
def test_bad_first_messages(
    mechanism: str, bindings: dict[str, bytes], message: bytes, condition: str
) -> None:
    with failure(condition):
        ScramServer(mechanism, domain="example.org", nonce="x", bindings=bindings).first(message)


def test_y_is_fine_without_an_offered_binding() -> None:
    assert ScramServer("SCRAM-SHA-1", domain="d", nonce="x").first(b"y,,n=user,r=abc") == "user@d"


def test_own_bare_jid_is_a_valid_authorization_identity() -> None:
    server = ScramServer("SCRAM-SHA-1", domain="example.org", nonce="x")
    assert server.first(b"n,a=USER@Example.ORG,n=user,r=abc") == "user@example.org"


PROOF = b64encode(bytes(20)).decode()


@pytest.mark.parametrize(
    ("message", "condition"),
    [
        ("", "malformed-request"),
        ("c=biws,r=abcx", "malformed-request"),
        (f"r=abcx,c=biws,p={PROOF}", "malformed-request"),
        (f"c=biws,r=abcx,m=1,p={PROOF}", "malformed-request"),
        (f"c=biws,r=abcx,p={PROOF},z=1", "malformed-request"),
        (f"c=bi ws,r=abcx,p={PROOF}", "malformed-request"),
        (f"c=,r=abcx,p={PROOF}", "malformed-request"),
        ("c=biws,r=abcx,p=", "malformed-request"),
        ("c=biws,r=abcx,p=AAAA", "malformed-request"),
        (f"c=biws,r=abcx,p={PROOF}", "not-authorized"),
        (f"c=eSws,r=abcx,p={PROOF}", "not-authorized"),
        (f"c=biws,r=abc,p={PROOF}", "not-authorized"),
        (f"c=biws,r=abcé,p={PROOF}", "not-authorized"),
    ],
)
def test_bad_final_messages(message: str, condition: str) -> None:
    server = ScramServer("SCRAM-SHA-1", domain="example.org", nonce="x")
    server.first(b"n,,n=user,r=abc")
    server.challenge(keys("pencil", "SCRAM-SHA-1"))
    with failure(condition):
        server.final(message.encode())


@settings(max_examples=many(200))
@given(message=st.binary(max_size=80))
def test_any_bytes_only_fail(message: bytes) -> None:
    server = ScramServer("SCRAM-SHA-1", domain="example.org", nonce="x")
    with pytest.raises(SaslFailure):
        server.first(message)
    server = ScramServer("SCRAM-SHA-1", domain="example.org", nonce="x")
    server.first(b"n,,n=user,r=abc")
    server.challenge(Keys(True, SALT, 4096, bytes(20), bytes(20)))
    with pytest.raises(SaslFailure):
        server.final(message)
    with pytest.raises(SaslFailure):
        parse_plain(message.replace(b"\0", b""), "example.org")


def test_steps_out_of_order_fail() -> None:
    server = ScramServer("SCRAM-SHA-1", domain="example.org", nonce="x")
    with failure("malformed-request"):
        server.final(b"c=biws,r=abcx,p=AAAA")


@pytest.mark.parametrize(
    ("message", "account", "password"),
    [
        (b"\0user\0pencil", "user@example.org", "pencil"),
        (b"user@example.org\0USER\0pen cil", "user@example.org", "pen cil"),
    ],
)
def test_plain(message: bytes, account: str, password: str) -> None:
    assert parse_plain(message, "example.org") == (account, password)


@pytest.mark.parametrize(
    ("message", "condition"),
    [
        (b"", "malformed-request"),
        (b"user\0pencil", "malformed-request"),
        (b"\0user\0pencil\0", "malformed-request"),
        (b"user\0user\0pw\0x", "malformed-request"),
        (b"\0\0pencil", "malformed-request"),
        (b"\0user\0", "malformed-request"),
        (b"\0us\xffer\0pencil", "malformed-request"),
        (b"\0user\0" + b"x" * 1024, "malformed-request"),
        (b"\0us er\0pencil", "not-authorized"),
        (b"\0user@example.org\0pencil", "not-authorized"),
        (b"other@example.org\0user\0pencil", "invalid-authzid"),
        (b"user@example.net\0user\0pencil", "invalid-authzid"),
        (b"user\0user\0pencil", "invalid-authzid"),
    ],
)
def test_bad_plain(message: bytes, condition: str) -> None:
    with failure(condition):
        parse_plain(message, "example.org")


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_plain_is_checked_against_scram_keys(mechanism: str) -> None:
    assert verify_plain("pencil", keys("pencil", mechanism))
    assert not verify_plain("Pencil", keys("pencil", mechanism))
    assert not verify_plain("pencil", keys("pencil", mechanism, exists=False))
    assert not verify_plain("", keys("pencil", mechanism))
    assert verify_plain("p\u00a0w", keys("p w", mechanism))


@pytest.mark.parametrize(
    "text", ["A", "AA", "AAA", "AAAA=", "AA==AA==", "AA AA", "AAAA\n", "AA-_", "==", "====", "Ä==="]
)
def test_base64_is_strict(text: str) -> None:
    with failure("incorrect-encoding"):
        decode_base64(text)


@given(data=st.binary(max_size=60))
def test_base64_round_trip(data: bytes) -> None:
    assert decode_base64(b64encode(data).decode() or "=") == data


@pytest.mark.parametrize(
    ("password", "prepared"),
    [
        ("I\u00adX", "IX"),
        ("\u2168", "IX"),
        ("\u00aa", "a"),
        ("pass\U0001f98a", "pass\U0001f98a"),
        ("a\u00a0b", "a b"),
    ],
)
def test_passwords_are_prepared(password: str, prepared: str) -> None:
    assert prepare_password(password) == prepared


@pytest.mark.parametrize("password", ["", "\u00ad", "a\u0007", "x" * 1024, "a\ud800"])
def test_bad_passwords(password: str) -> None:
    with pytest.raises(ValueError):
        prepare_password(password)


def test_end_point_binding_uses_the_signature_hash() -> None:

    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "example.org")])
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)

    def certificate(
        key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey,
        algorithm: hashes.SHA256 | hashes.SHA384 | None,
    ) -> bytes:
        builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + dt.timedelta(days=1))
        return builder.sign(key, algorithm).public_bytes(Encoding.DER)

    elliptic = ec.generate_private_key(ec.SECP256R1())
    der = certificate(elliptic, hashes.SHA256())
    assert tls_server_end_point(der) == sha256(der).digest()
    der = certificate(elliptic, hashes.SHA384())
    assert tls_server_end_point(der) == sha384(der).digest()
    assert tls_server_end_point(certificate(ed25519.Ed25519PrivateKey.generate(), None)) is None


# --- downgrade protection (XEP-0474) ----------------------------------------------------------------------------------


def test_what_was_offered_is_hashed_as_the_xep_says() -> None:
    """The example of section 5.3, where order does not matter."""
    text = advertised(["SCRAM-SHA-1-PLUS", "SCRAM-SHA-1"], ["tls-server-end-point", "tls-exporter"])
    assert text == b"SCRAM-SHA-1\x1eSCRAM-SHA-1-PLUS\x1ftls-exporter\x1etls-server-end-point"
    server = ScramServer("SCRAM-SHA-1", domain="example.org", nonce="N", advertised=text)
    server.first(b"n,,n=user,r=C")
    assert server.challenge(keys("pencil", "SCRAM-SHA-1")).endswith(b",h=G6k/rBLDqgOhRRaCuuatSDFkJ08=")
    assert advertised(["A"], None) == b"A"
    assert advertised(["A"], []) == b"A\x1f"


OFFERED = ["SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"]


@pytest.mark.parametrize(
    ("seen", "bindings", "rewrite", "outcome"),
    [
        (OFFERED, None, "", "in"),
        (list(reversed(OFFERED)), None, "", "in"),
        (["SCRAM-SHA-1", "PLAIN"], None, "", "the client stops"),  # attack 2: the strong one is hidden
        ([*OFFERED, "SCRAM-SHA-512"], None, "", "the client stops"),
        (OFFERED, ["tls-made-up"], "", "the client stops"),  # attack 1: another binding is offered
        (["SCRAM-SHA-1", "PLAIN"], None, "strip", "the server refuses"),  # h is taken out on the way
        (["SCRAM-SHA-1", "PLAIN"], None, "forge", "the server refuses"),  # h is made to fit
    ],
)
def test_attacks_on_the_list(seen: list[str], bindings: list[str] | None, rewrite: str, outcome: str) -> None:
    """Somebody between client and server, who changes lists and messages and does not know the password (XEP-0474 section 4)."""
    server = ScramServer("SCRAM-SHA-1", domain="example.org", nonce="N", advertised=advertised(OFFERED, None))
    client = ScramClient(["SCRAM-SHA-1"], "user", "pencil")
    server.first(client.get_client_first().encode())
    challenge = server.challenge(keys("pencil", "SCRAM-SHA-1")).decode()
    own = b64encode(hashlib.sha1(advertised(seen, bindings), usedforsecurity=False).digest()).decode()
    if rewrite:
        challenge = challenge.partition(",h=")[0] + (f",h={own}" if rewrite == "forge" else "")
    if ",h=" in challenge and challenge.partition(",h=")[2] != own:
        assert outcome == "the client stops"
        return
    client.set_server_first(challenge)
    final = client.get_client_final().encode()
    if outcome == "in":
        assert server.final(final).startswith(b"v=")
    else:
        with failure("not-authorized"):
            server.final(final)


@pytest.mark.parametrize("mechanism", list(HASHES))
def test_keys_of_a_salted_password_are_those_of_the_password(mechanism: str) -> None:
    salted = hashlib.pbkdf2_hmac(HASHES[mechanism], b"pencil", b"salt", 4096)
    assert len(salted) == SIZES[mechanism]
    assert keys_of(mechanism, salted) == derive_keys("pencil", mechanism, b"salt", 4096)
