"""Keys of SCRAM (RFC 5802 section 3), which are also what PLAIN is checked against: passwords are never stored.

Deriving keys takes milliseconds (PBKDF2): callers run it in a thread. hashlib releases the interpreter lock meanwhile.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final, Protocol

from rookery.shared.xmpp.sasl.common import prepare_password

#: Hash function of each mechanism without its -PLUS.
HASHES: Final[dict[str, str]] = {"SCRAM-SHA-1": "sha1", "SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}
#: Octets of a salted password and of each key.
SIZES: Final[dict[str, int]] = {name: hashlib.new(of).digest_size for name, of in HASHES.items()}
_BY_SIZE: Final = {SIZES[name]: of for name, of in HASHES.items()}


class ScramKeys(Protocol):
    """What a server stores of a password; `exists` is False for the stable fake of an unknown user.

    `shared.bus.messages.Credentials` is one.
    """

    @property
    def exists(self) -> bool:
        """Whether anybody may log in with these."""
        ...

    @property
    def salt(self) -> bytes:
        """Salt of PBKDF2."""
        ...

    @property
    def iterations(self) -> int:
        """Iterations of PBKDF2."""
        ...

    @property
    def stored_key(self) -> bytes:
        """H(ClientKey)."""
        ...

    @property
    def server_key(self) -> bytes:
        """HMAC(SaltedPassword, "Server Key")."""
        ...


def _derive(password: str, hash_name: str, salt: bytes, iterations: int) -> tuple[bytes, bytes]:
    return _keys(hash_name, hashlib.pbkdf2_hmac(hash_name, password.encode(), salt, iterations))


def _keys(hash_name: str, salted: bytes) -> tuple[bytes, bytes]:
    client_key = hmac.digest(salted, b"Client Key", hash_name)
    return hashlib.new(hash_name, client_key).digest(), hmac.digest(salted, b"Server Key", hash_name)


def keys_of(mechanism: str, salted: bytes) -> tuple[bytes, bytes]:
    """(stored key, server key) of a salted password (RFC 5802 section 3), which a client has calculated."""
    return _keys(HASHES[mechanism], salted)


def derive_keys(password: str, mechanism: str, salt: bytes, iterations: int) -> tuple[bytes, bytes]:
    """(stored key, server key) of a password, for storage. Raises ValueError when the password cannot be prepared."""
    return _derive(prepare_password(password), HASHES[mechanism.removesuffix("-PLUS")], salt, iterations)


def verify_plain(password: str, credentials: ScramKeys) -> bool:
    """Whether `password` is the right one; takes the same time for an unknown user."""
    try:
        prepared, valid = prepare_password(password), True
    except ValueError:
        prepared, valid = "-", False
    hash_name = _BY_SIZE[len(credentials.stored_key)]
    stored_key, _ = _derive(prepared, hash_name, credentials.salt, credentials.iterations)
    return hmac.compare_digest(stored_key, credentials.stored_key) & valid & credentials.exists
