"""What TLSA records say of certificates (RFC 6698, 7671, 7673)."""

from __future__ import annotations

import hashlib
from functools import cache

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from OpenSSL import crypto

from rookery.shared.net.openssl import leads_to
from rookery.workers.s2s.streams import names
from rookery.workers.s2s.streams.dane import NO_MATCH, Expected, Pin, judge
from rookery.workers.s2s.streams.proof import Proof

DOMAIN, HOST = "b.example", "xmpp.b.example"


@cache
def shown(*for_: str) -> tuple[x509.Certificate, ...]:
    """A certificate and its authorities, as a server shows them."""
    root = trustme.CA()
    issued = root.issue_cert(*for_)
    pems = [*(each.bytes() for each in issued.cert_chain_pems), root.cert_pem.bytes()]
    return tuple(x509.load_pem_x509_certificate(pem) for pem in pems)


def pin(certificate: x509.Certificate, usage: int, selector: int = 1, matching: int = 1) -> Pin:
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    data = key if selector else certificate.public_bytes(Encoding.DER)
    digest = {0: data, 1: hashlib.sha256(data).digest(), 2: hashlib.sha512(data).digest()}[matching]
    return Pin(usage, selector, matching, digest)


def proof(certificates: tuple[x509.Certificate, ...], *pins: Pin) -> Proof:
    presented = [crypto.X509.from_cryptography(each) for each in certificates]
    return judge(
        certificates,
        names.read(certificates[0]),
        Expected(DOMAIN, HOST, pins),
        lambda authority: leads_to(authority, presented),
    )


@pytest.mark.parametrize("selector", [0, 1])
@pytest.mark.parametrize("matching", [0, 1, 2])
def test_this_certificate_is_believed_whatever_it_names(selector: int, matching: int) -> None:
    chain = shown("elsewhere.example")
    assert proof(chain, pin(chain[0], 3, selector, matching)).covers(DOMAIN)


def test_another_certificate_is_not_believed_though_it_names_the_domain() -> None:
    found = proof(shown(DOMAIN), pin(shown("elsewhere.example")[0], 3))
    assert not found.covers(DOMAIN)
    assert found.why_not() == NO_MATCH


@pytest.mark.parametrize(("name", "believed"), [(DOMAIN, True), (HOST, True), ("elsewhere.example", False)])
def test_an_authority_of_theirs_vouches_for_the_domain_and_the_host(name: str, believed: bool) -> None:
    chain = shown(name)
    assert proof(chain, pin(chain[-1], 2)).covers(DOMAIN) is believed


def test_an_authority_that_did_not_sign_is_none() -> None:
    stranger = shown("elsewhere.example")[-1]
    assert not proof((*shown(DOMAIN), stranger), pin(stranger, 2)).covers(DOMAIN)


def test_one_of_several_is_enough() -> None:
    chain = shown(DOMAIN)
    assert proof(chain, pin(shown("elsewhere.example")[0], 3), pin(chain[0], 3)).covers(DOMAIN)


@pytest.mark.parametrize("unknown", [(0, 1, 1), (1, 1, 1), (255, 1, 1), (3, 2, 1), (3, 1, 3)])
def test_what_is_not_known_is_not_usable(unknown: tuple[int, int, int]) -> None:
    assert not Pin(*unknown, b"").usable
    assert Pin(3, 1, 1, b"").usable
