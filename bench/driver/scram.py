"""The client's side of SCRAM (RFC 5802, RFC 7677), with derived keys kept: PBKDF2 would make the driver dearer than the server.

Real clients keep them as well (RFC 5802 section 3). The server's signature is checked.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64decode, b64encode
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

_HASHES: Final = {"SCRAM-SHA-1": (hashes.SHA1, "sha1", 20), "SCRAM-SHA-256": (hashes.SHA256, "sha256", 32)}
#: What nobody asks of a server's test accounts; a hostile server could otherwise stop the driver.
_MOST_ITERATIONS: Final = 1_000_000

#: (user, mechanism, salt, iterations) -> (client key, stored key, server key)
Keys = dict[tuple[str, str, bytes, int], tuple[bytes, bytes, bytes]]


class ScramError(Exception):
    """The server did not follow the exchange, or did not prove that it knows the password."""


class ScramClient:
    """One exchange. `nonce` is fresh printable ASCII without a comma; `keys` is kept over logins."""

    __slots__ = ("_bare", "_hash", "_keys", "_mechanism", "_nonce", "_password", "_signature", "_user")

    def __init__(self, mechanism: str, user: str, password: str, nonce: str, keys: Keys) -> None:
        self._mechanism = mechanism
        self._hash = _HASHES[mechanism][1]
        self._user = user
        self._password = password
        self._nonce = nonce
        self._keys = keys
        escaped = user.replace("=", "=3D").replace(",", "=2C")
        self._bare = f"n={escaped},r={nonce}"
        self._signature = b""

    def first(self) -> bytes:
        """The first message."""
        return b"n,," + self._bare.encode()

    def final(self, challenge: bytes) -> bytes:
        """The answer to the server's challenge. Raises ScramError."""
        try:
            text = challenge.decode()
            fields = dict(part.split("=", 1) for part in text.split(","))
            nonce, salt, iterations = fields["r"], b64decode(fields["s"], validate=True), int(fields["i"])
        except (KeyError, ValueError) as error:
            raise ScramError("not a SCRAM challenge") from error
        if not nonce.startswith(self._nonce) or not 0 < iterations <= _MOST_ITERATIONS:
            raise ScramError("not an answer to this exchange")
        client_key, stored_key, server_key = self._derived(salt, iterations)
        without_proof = f"c=biws,r={nonce}"
        signed = f"{self._bare},{text},{without_proof}".encode()
        signature = hmac.digest(stored_key, signed, self._hash)
        self._signature = hmac.digest(server_key, signed, self._hash)
        proof = int.from_bytes(client_key, "big") ^ int.from_bytes(signature, "big")
        return f"{without_proof},p={b64encode(proof.to_bytes(len(signature), 'big')).decode()}".encode()

    def check(self, success: bytes) -> None:
        """Check the server's last message. Raises ScramError."""
        if not hmac.compare_digest(success, b"v=" + b64encode(self._signature)):
            raise ScramError("the server did not prove that it knows the password")

    def _derived(self, salt: bytes, iterations: int) -> tuple[bytes, bytes, bytes]:
        key = (self._user, self._mechanism, salt, iterations)
        found = self._keys.get(key)
        if found is None:
            algorithm, name, size = _HASHES[self._mechanism]
            salted = PBKDF2HMAC(algorithm(), size, salt, iterations).derive(self._password.encode())
            client_key = hmac.digest(salted, b"Client Key", name)
            stored_key = hashlib.new(name, client_key).digest()
            found = (client_key, stored_key, hmac.digest(salted, b"Server Key", name))
            self._keys[key] = found
        return found
