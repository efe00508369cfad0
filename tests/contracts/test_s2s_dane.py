"""DANE (RFC 7673) on real sockets: a resolver that says that it has validated, and certificates that the DNS tells."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from tests.contracts.s2s_lab import Lab, Recorded, lab, until

from rookery.bench.remotes.dns import Names, Record
from rookery.shared.net.folder import CHAIN


async def outcome(here: Lab, names: Names, *, pinned: bool, stranger: bool, trusted: bool = True) -> str:
    """How a stream to b.example ends: "" when it opens, else why. `pinned`: its TLSA record is of its certificate."""
    there = here.server("b", "b.example")
    if stranger:
        there.certify("b.example", authority=trustme.CA())
        there.certificates.reload()
    port = there.ports["s2s_tls"]
    names.serve("b.example", port, tls=True)
    pem = (there.folder / "b.example" / CHAIN).read_bytes()
    der = x509.load_pem_x509_certificates(pem)[0].public_bytes(Encoding.DER)
    digest = hashlib.sha256(der if pinned else b"another").hexdigest()
    names.add(Record(f"_{port}._tcp.xmpp.b.example", "TLSA", f"3 0 1 {digest}"))
    ours = here.server("a", "a.example", resolver=f"127.0.0.1:{names.port}", trust_dnssec=trusted)
    owner = Recorded()
    ours.streams.open("b.example", "a.example", owner)
    await until(lambda: owner.opened or owner.troubles)
    return owner.troubles[0].kind if owner.troubles else ""


@pytest.mark.parametrize(
    ("pinned", "stranger", "validated", "trusted", "expected"),
    [
        pytest.param(True, True, True, True, "", id="the DNS tells it: no authority is needed"),
        pytest.param(False, False, True, True, "untrusted", id="the DNS tells another: no authority helps"),
        pytest.param(True, True, False, True, "untrusted", id="nobody has validated it"),
        pytest.param(False, False, False, True, "", id="nobody has validated it, an authority vouches"),
        pytest.param(True, True, True, False, "untrusted", id="the resolver is not trusted with that"),
    ],
)
async def test_the_validated_dns_decides(
    tmp_path: Path, pinned: bool, stranger: bool, validated: bool, trusted: bool, expected: str
) -> None:
    with Names() as names:
        names.validated = validated
        async with lab(tmp_path) as here:
            # (what the other side thinks of the certificate that we show does not matter before the stream opens)
            found = await outcome(here, names, pinned=pinned, stranger=stranger, trusted=trusted)
    assert found == expected
    asked = any(kind == "TLSA" for _, kind in names.asked)
    assert asked is (trusted and validated)
