"""Archive ids: epoch << 40 | counter, monotonic for every archive owner and independent of clocks.

The process that holds a partition gives them out. A later holder has a higher epoch, so its ids are higher, whatever its
clock says and however far the holder before it counted. Clients see a sealed form: it tells nothing about the counter (XEP-0359
section 5), and one that we did not make, or made for another owner, does not open.
"""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import blake2b
from struct import Struct
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from rookery.shared.db.api import Database
from rookery.shared.db.secrets import shared_secrets

COUNTER_BITS: Final = 40
_COUNTERS: Final = 1 << COUNTER_BITS
#: ids are bigint: 23 bits are left for the epoch.
_EPOCHS: Final = 1 << 23
_BLOCK: Final = Struct(">QQ")
#: 16 bytes in base64 without padding.
_LENGTH: Final = 22
_PURPOSE: Final = "archive-ids"


class ArchiveIds:
    """The ids of one partition in one epoch."""

    __slots__ = ("_end", "_last")

    def __init__(self, epoch: int) -> None:
        if not 0 <= epoch < _EPOCHS:
            raise ValueError(f"epoch {epoch} does not fit into an archive id")
        self._last = epoch << COUNTER_BITS
        self._end = self._last + _COUNTERS - 1

    def next(self) -> int:
        """The next id. Raises OverflowError after 2^40 of them: the partition then needs a new epoch."""
        if self._last == self._end:
            raise OverflowError("all archive ids of this epoch are used")
        self._last += 1
        return self._last


class Seal:
    """What clients see of archive ids. One block of AES hides (owner, id): a permutation, so there is nothing to look up.

    `secret` is the cluster's, and stays: with another one, no client could say where it stopped reading.
    """

    __slots__ = ("_decrypt", "_encrypt")

    def __init__(self, secret: bytes) -> None:
        key = blake2b(secret, digest_size=16, person=b"archive id").digest()
        # One block of unique content: the mode that chains nothing is the right one.
        cipher = Cipher(algorithms.AES(key), modes.ECB())  # noqa: S305
        self._encrypt = cipher.encryptor().update
        self._decrypt = cipher.decryptor().update

    def seal(self, owner_id: int, archive_id: int) -> str:
        """The id as clients see it: 22 letters, digits, `-` and `_`."""
        return urlsafe_b64encode(self._encrypt(_BLOCK.pack(owner_id, archive_id)))[:_LENGTH].decode()

    def open(self, owner_id: int, text: str) -> int | None:
        """The id that was sealed, or None when this was not made by us for this owner."""
        if len(text) != _LENGTH or not text.isascii():
            return None
        try:
            block = urlsafe_b64decode(text.encode() + b"==")
        except binascii.Error:
            return None
        if len(block) != _BLOCK.size:
            return None
        owner, archive_id = _BLOCK.unpack(self._decrypt(block))
        # Other spellings of the same bytes do not count.
        return archive_id if owner == owner_id and self.seal(owner_id, archive_id) == text else None


async def cluster_seal(db: Database) -> Seal:
    """The seal of this cluster. Raises DatabaseUnavailable."""
    return Seal((await shared_secrets(db, _PURPOSE))[-1])
