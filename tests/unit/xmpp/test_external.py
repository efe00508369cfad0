"""SASL EXTERNAL: the addresses of certificates, and whom a client becomes (XEP-0178 section 2)."""

from __future__ import annotations

import datetime as dt

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from rookery.shared.xmpp.der import string
from rookery.shared.xmpp.sasl.common import SaslFailure
from rookery.shared.xmpp.sasl.external import addresses, parse

ADDR = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.5")


def utf8(text: str) -> bytes:
    data = text.encode()
    return b"\x0c" + (bytes([len(data)]) if len(data) < 128 else b"\x81" + bytes([len(data)])) + data


def certificate(*names: x509.GeneralName) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "eve@example.org")])
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    builder = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(1).not_valid_before(now).not_valid_after(now + dt.timedelta(days=1))
    )  # fmt: skip
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def other(value: bytes, oid: x509.ObjectIdentifier = ADDR) -> x509.OtherName:
    return x509.OtherName(oid, value)


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ([], ()),
        ([other(utf8("juliet@example.org"))], ("juliet@example.org",)),
        ([other(utf8("Juliet@EXAMPLE.org"))], ("juliet@example.org",)),
        ([other(utf8("a@x.org")), other(utf8("b@x.org")), other(utf8("a@x.org"))], ("a@x.org", "b@x.org")),
        ([other(utf8("example.org"))], ()),  # a server's
        ([other(utf8("a@x.org/phone"))], ()),  # of one resource
        ([other(utf8("a@@x"))], ()),
        ([other(utf8(""))], ()),
        ([other(utf8("é" * 60 + "@x.org"))], ("é" * 60 + "@x.org",)),  # a length of two octets
        ([other(b"\x04\x07a@x.org")], ()),  # no string
        ([other(b"\x0c\x03\xff\xff\xff")], ()),
        ([other(utf8("a@x.org"), x509.ObjectIdentifier("1.3.6.1.5.5.7.8.7"))], ()),  # SRVName
        ([x509.RFC822Name("a@x.org"), x509.DNSName("x.org")], ()),  # a mailbox is no address
    ],
)
def test_addresses_of_a_certificate(names: list[x509.GeneralName], found: tuple[str, ...]) -> None:
    """The common name counts for nothing."""
    assert addresses(certificate(*names)) == found


@given(st.binary(max_size=60))
def test_whatever_a_certificate_says_is_only_ignored(value: bytes) -> None:
    assert string(b"\x0c" + value) in ("", value[1:].decode("utf-8", "replace"))
    assert addresses(value) == ()


ONE, TWO = ("a@x.org",), ("a@x.org", "b@x.org")
#: Both hosts are ours, elsewhere.org is not.
VIRTUAL, FOREIGN = ("a@x.org", "a@y.org"), ("a@x.org", "a@elsewhere.org")


@pytest.mark.parametrize(
    ("known", "message", "outcome"),
    [
        (ONE, b"", "a@x.org"),
        (ONE, b"a@x.org", "a@x.org"),  # needless, and right
        (ONE, b"A@X.org", "a@x.org"),  # compared as RFC 7622 prepares it
        (ONE, b"b@x.org", "invalid-authzid"),  # nobody acts for somebody else
        (ONE, b"a", "invalid-authzid"),
        (ONE, b"x.org", "invalid-authzid"),
        (ONE, b"a@x.org/r", "invalid-authzid"),
        (TWO, b"", "invalid-authzid"),  # section 2: which of them?
        (TWO, b"b@x.org", "b@x.org"),
        (TWO, b"c@x.org", "invalid-authzid"),
        (VIRTUAL, b"", "invalid-authzid"),
        (VIRTUAL, b"a@x.org", "a@x.org"),
        (VIRTUAL, b"a@y.org", "invalid-authzid"),  # of ours, and not of this stream
        (FOREIGN, b"", "a@x.org"),
        (FOREIGN, b"a@elsewhere.org", "invalid-authzid"),
        (("a@y.org",), b"", "not-authorized"),
        ((), b"", "not-authorized"),
        ((), b"a@x.org", "invalid-authzid"),
        (ONE, b"\xff", "malformed-request"),
        (ONE, b"a@x.org\0", "malformed-request"),
        (ONE, b"x" * 4000, "malformed-request"),
    ],
)
def test_whom_a_client_becomes(known: tuple[str, ...], message: bytes, outcome: str) -> None:
    if "@" in outcome:
        assert parse(message, known, "x.org", {"x.org", "y.org"}.__contains__) == outcome
        return
    with pytest.raises(SaslFailure) as caught:
        parse(message, known, "x.org", {"x.org", "y.org"}.__contains__)
    assert caught.value.condition == outcome
