"""The secrets of components. XEP-0114 proves one by SHA-1(stream id + secret), so each must be known as it is.

A file in `component.secrets_directory` wins; else the row has it, encrypted by AES-GCM with a key of the cluster's shared secrets and bound to its
domain. That keeps it out of backups of single tables and of what is shown; who has the whole database has the key, too.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from rookery.shared.db.api import Connection, Database
from rookery.shared.db.secrets import secrets_of, shared_secrets

PURPOSE: Final = "component"
#: Bounds of a secret that somebody chooses, in characters.
SHORTEST: Final = 8
LONGEST: Final = 1024
_NONCE: Final = 12
_SELECT: Final = """
SELECT c.secret FROM domain d LEFT JOIN component c ON c.domain = d.name WHERE d.name = $1 AND d.kind = 'component'"""
_PUT: Final = """
INSERT INTO component (domain, secret) VALUES ($1, $2) ON CONFLICT (domain) DO UPDATE SET secret = EXCLUDED.secret"""


def fresh() -> str:
    """A new secret."""
    return secrets.token_urlsafe(24)


def proof(stream: str, secret: str) -> str:
    """What a component shows (XEP-0114 section 3): the stream's id and the secret, as lower-case hexadecimal SHA-1."""
    return hashlib.sha1((stream + secret).encode(), usedforsecurity=False).hexdigest()


def proves(shown: str, stream: str, secret: str) -> bool:
    """Whether the proof is right; in constant time."""
    return hmac.compare_digest(shown.strip().lower().encode(), proof(stream, secret).encode())


def seal(key: bytes, domain: str, secret: str) -> bytes:
    """Encrypt."""
    nonce = os.urandom(_NONCE)
    return nonce + AESGCM(key).encrypt(nonce, secret.encode(), domain.encode())


def unseal(keys: Sequence[bytes], domain: str, sealed: bytes) -> str | None:
    """Decrypt with whichever key made it; None when none did."""
    for key in keys:
        try:
            return AESGCM(key).decrypt(sealed[:_NONCE], sealed[_NONCE:], domain.encode()).decode()
        except InvalidTag:
            continue
    return None


async def keys(conn: Connection) -> Sequence[bytes]:
    """A unit of work: what secrets are encrypted with, newest first."""
    return await secrets_of(conn, PURPOSE)


async def put(conn: Connection, keys: Sequence[bytes], domain: str, secret: str) -> None:
    """A unit of work: the secret of a component; "" for one that stands in a file."""
    await conn.execute(_PUT, domain, seal(keys[0], domain, secret) if secret else None)


async def find(db: Database, directory: str, domain: str) -> str | None:
    """The secret of a hosted component, None when there is no such component or it has none. Raises DatabaseUnavailable."""
    found = await shared_secrets(db, PURPOSE)
    row = await db.run(0, lambda conn: conn.fetchrow(_SELECT, domain))
    if row is None:
        return None
    if directory:
        try:
            # (the name is that of a row: a prepared domain, which has no path in it)
            return (Path(directory) / domain).read_text("utf-8").strip() or None
        except (OSError, UnicodeDecodeError):
            pass
    return None if row["secret"] is None else unseal(found, domain, bytes(row["secret"]))
