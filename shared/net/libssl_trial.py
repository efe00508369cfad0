"""A trial of `libssl` in memory, run as a program: 0 when tickets and stapled answers do what they should, a line on stderr when not."""

from __future__ import annotations

import os
import secrets
import ssl
import sys
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from rookery.shared.net.libssl import IV_BYTES, Library, Unusable

NAME: Final = "trial.invalid"
_ROUNDS: Final = 4


class _Keys:
    """One key, known by a byte."""

    def __init__(self, byte: bytes) -> None:
        self._key = (byte * 16, byte * 32, byte * 32)

    def newest(self) -> tuple[bytes, bytes, bytes]:
        return self._key

    def named(self, name: bytes) -> tuple[bytes, bytes] | None:
        return self._key[1:] if name == self._key[0] else None

    def fresh(self) -> bytes:
        return secrets.token_bytes(IV_BYTES)


def _identity() -> int:
    """A certificate with its key, as a file in memory."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAME)])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    certificate = builder.sign(key, hashes.SHA256())
    file = os.memfd_create("trial")
    os.write(file, certificate.public_bytes(Encoding.PEM))
    os.write(file, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return file


def _server(file: int) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"/proc/self/fd/{file}")
    context.num_tickets = 1
    return context


def _talk(server: ssl.SSLContext, session: ssl.SSLSession | None, client: ssl.SSLContext) -> ssl.SSLObject:
    """A handshake between the two; returns the client's side."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = server.wrap_bio(there, back, server_side=True)
    theirs = client.wrap_bio(back, there, server_hostname=NAME, session=session)
    for _ in range(_ROUNDS):
        for side in (theirs, ours):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                pass
    try:
        theirs.read(1)  # (the ticket comes behind the handshake)
    except ssl.SSLWantReadError:
        pass
    return theirs


def trial() -> None:
    """Try all of it. Raises Unusable."""
    library = Library()
    file = _identity()
    first, second, stranger = (_server(file) for _ in range(3))
    shown: list[bytes] = []

    def answer(certificate: bytes) -> None:
        shown.append(certificate)

    for context, byte in ((first, b"a"), (second, b"a"), (stranger, b"b")):
        library.use_tickets(context, _Keys(byte), 3600)
        library.staple(context, answer)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    session = _talk(first, None, client).session
    if session is None or not session.has_ticket:
        raise Unusable("no ticket is given")
    if not _talk(second, session, client).session_reused:
        raise Unusable("a ticket is not taken by another context with the same key")
    if _talk(stranger, session, client).session_reused:
        raise Unusable("a ticket is taken by a context with another key")
    if shown:
        raise Unusable("an answer of OCSP was shown to a client that did not ask")


def main() -> int:
    """The program."""
    try:
        trial()
    except (Unusable, ssl.SSLError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
