"""A certificate as files: what a context of TLS shows to the other side."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import NamedTuple


class Identity(NamedTuple):
    """A certificate with its chain, and its key: two files (PEM)."""

    chain: Path
    key: Path

    def load(self, context: ssl.SSLContext) -> None:
        """Let a context show it. Raises OSError or ssl.SSLError."""
        context.load_cert_chain(self.chain, self.key, password=_no_password)


def _no_password() -> bytes:
    # Without a callback OpenSSL asks on the terminal for the password of an encrypted key.
    return b""
