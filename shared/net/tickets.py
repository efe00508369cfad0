"""Keys of session tickets that all edges share, so that a client comes back to any of them with an abbreviated handshake (RFC 8446 section 2.2).

A file has the secrets, one a line: the first one makes tickets, all of them take. From each comes a new key every `ticket_hours` (HKDF), the
same at all edges without a word between them. A ticket is good for as long: the former key is still known, and the next one to those whose clock is slow.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import structlog
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from rookery.shared.net.libssl import IV_BYTES, NAME_BYTES

#: The fewest characters of a secret: 16 random bytes in hexadecimal digits.
SHORTEST: Final = 32
_KEY_BYTES: Final = 32
_log = structlog.get_logger()


class SecretsError(ValueError):
    """The file of the secrets cannot be used; the text says why, and has none of them."""


class Key(NamedTuple):
    """What OpenSSL needs for a ticket."""

    name: bytes
    aes: bytes
    hmac: bytes


def derive(secret: bytes, period: int, scope: bytes) -> Key:
    """The key of a period. Tickets of one scope are not taken in another."""
    info = b"rookery session tickets 1" + period.to_bytes(8) + scope
    raw = HKDF(hashes.SHA256(), NAME_BYTES + 2 * _KEY_BYTES, None, info).derive(secret)
    return Key(raw[:NAME_BYTES], raw[NAME_BYTES:-_KEY_BYTES], raw[-_KEY_BYTES:])


def read_secrets(path: Path) -> tuple[bytes, ...]:
    """The secrets of a file. Raises SecretsError."""
    try:
        lines = path.read_bytes().split()
    except OSError as error:
        raise SecretsError(f"{path}: {error.strerror}") from None
    if not lines:
        raise SecretsError(f"{path}: no secret in it")
    if min(map(len, lines)) < SHORTEST:
        raise SecretsError(f"{path}: a secret has fewer than {SHORTEST} characters")
    return tuple(lines)


class Tickets:
    """The keys of now; implements `libssl.TicketKeys`. Raises SecretsError when the file cannot be used at the start."""

    def __init__(
        self, file: str, hours: int, *, bound: bool = False, now: Callable[[], float] = time.time
    ) -> None:
        self._path = Path(file)
        #: Whether logins are bound to certificates.
        self.bound = bound
        self.seconds = hours * 3600
        self._now = now
        self._secrets = read_secrets(self._path)
        self._stamp: object = None
        self._scope = b""
        #: Handshake threads ask while another thread reads the file.
        self._lock = threading.Lock()
        self._period = -1
        self._newest = Key(b"", b"", b"")
        self._known: dict[bytes, Key] = {}

    def reload(self) -> None:
        """Read the secrets again when the file changed; one that cannot be used is told of once, and the former secrets stay."""
        try:
            found = os.stat(self._path)
            stamp: object = (found.st_ino, found.st_size, found.st_mtime_ns)
        except OSError:
            stamp = None
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            found_secrets = read_secrets(self._path)
        except SecretsError as error:
            _log.error("ticket_secrets_unusable", reason=str(error))
            return
        with self._lock:
            self._secrets = found_secrets
            self._period = -1

    def limit(self, scope: bytes) -> None:
        """Tickets are taken only where the same is said: SASL that is bound to a certificate needs the one of the first handshake."""
        with self._lock:
            if scope != self._scope:
                self._scope = scope
                self._period = -1

    def _turn(self) -> None:
        period = int(self._now() // self.seconds)
        if period == self._period:
            return
        with self._lock:
            keys = [
                derive(secret, at, self._scope)
                for secret in self._secrets
                for at in (period, period - 1, period + 1)
            ]
            self._newest = keys[0]
            self._known = {key.name: key for key in keys}
            self._period = period

    def newest(self) -> tuple[bytes, bytes, bytes]:
        """See `libssl.TicketKeys`."""
        self._turn()
        return self._newest

    def named(self, name: bytes) -> tuple[bytes, bytes] | None:
        """See `libssl.TicketKeys`."""
        self._turn()
        key = self._known.get(name)
        return None if key is None else (key.aes, key.hmac)

    def fresh(self) -> bytes:
        """See `libssl.TicketKeys`."""
        return secrets.token_bytes(IV_BYTES)
