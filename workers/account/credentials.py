"""SCRAM keys: made from passwords, and made up for users that do not exist (RFC 5802, RFC 7677)."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from rookery.shared.bus.messages import Credentials
from rookery.shared.xmpp.sasl.keys import HASHES, derive_keys

SALT_BYTES: Final = 16
#: Octets; longer ones are refused before they are hashed.
MAX_PASSWORD: Final = 1024
#: The shared secret behind the keys of users that do not exist.
PURPOSE: Final = "fake-credentials"


class Keys(NamedTuple):
    """What is stored of a password for one mechanism."""

    mechanism: str
    iterations: int
    salt: bytes
    stored_key: bytes
    server_key: bytes


def base_mechanism(mechanism: str, offered: Sequence[str]) -> str:
    """Whose keys a SASL mechanism needs: -PLUS shares those of its base, PLAIN is checked against the best."""
    base = mechanism.removesuffix("-PLUS")
    return base if base in HASHES else offered[0]


def derive(password: str, mechanisms: Sequence[str], iterations: int) -> list[Keys]:
    """Keys of a password for each mechanism, under fresh salts; takes milliseconds of CPU: call it in a thread.

    Raises ValueError for a password that is empty, too long or has forbidden characters.
    """
    if not password or len(password.encode()) > MAX_PASSWORD:
        raise ValueError(f"a password has 1 to {MAX_PASSWORD} octets")
    keys = []
    for mechanism in mechanisms:
        salt = secrets.token_bytes(SALT_BYTES)
        keys.append(Keys(mechanism, iterations, salt, *derive_keys(password, mechanism, salt, iterations)))
    return keys


def invented(
    account: str, mechanism: str, iterations: int, secret: bytes, counts: Mapping[int, int] | None = None
) -> Credentials:
    """Credentials that nobody can satisfy, the same at every try and on every worker, shaped like real ones.

    So an exchange does not tell whether the user exists (RFC 5802 section 7). `counts` says how many real keys have which
    number of iterations (imported users may have fewer): made-up ones are spread alike. `iterations` is for an empty server.
    """

    def bits(what: str, size: int) -> bytes:
        return hmac.digest(secret, f"{what}\0{mechanism}\0{account}".encode(), "sha512")[:size]

    if counts:
        # A fraction, so that an account keeps its number while the counts change a little.
        place = int.from_bytes(bits("iterations", 8), "big") * sum(counts.values()) >> 64
        for iterations in sorted(counts):
            place -= counts[iterations]
            if place < 0:
                break
    size = hmac.new(b"", digestmod=HASHES[mechanism]).digest_size
    return Credentials(
        account, False, bits("salt", SALT_BYTES), iterations, bits("stored", size), bits("server", size)
    )
