"""The NATS client protocol as far as the bus needs it: a reader of what the server sends, and the lines that we send. Pure.

nats-py has a parser too. This one does not give each message to a coroutine and is imported without asyncio: importing
`nats.protocol.parser` costs 4.8 MiB of memory in each process. The unit tests hold it against nats-py's.
Protocol: https://docs.nats.io/reference/reference-protocols/nats-protocol
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any, Final, NamedTuple
from urllib.parse import unquote, urlsplit

#: Longest control line; INFO of a big cluster is the longest.
MAX_LINE: Final = 64 * 1024
#: Longest message that is read; nats-server's own limit is 64 MiB, ours (`max_payload`) 1 MiB.
MAX_MESSAGE: Final = 8 * 1024 * 1024

PING: Final = b"PING\r\n"
PONG: Final = b"PONG\r\n"


class ProtocolError(Exception):
    """What the server sent is not the NATS protocol; the connection is closed."""


class Message(NamedTuple):
    """A message for subscription `sid`."""

    sid: int
    payload: bytes


class Control(NamedTuple):
    """`op` is INFO, PING, PONG, +OK or -ERR."""

    op: str
    text: bytes


class Reader:
    """Splits the server's bytes into messages and control lines."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[Message | Control]:
        """Take bytes, return what is complete. Raises ProtocolError."""
        buffer = self._rest + data if self._rest else data
        out: list[Message | Control] = []
        at = 0
        while (end := buffer.find(b"\r\n", at)) >= 0:
            if buffer.startswith(b"MSG ", at):
                words = buffer[at + 4 : end].split()  # subject sid [reply] size
                if not 3 <= len(words) <= 4 or not words[1].isdigit() or not words[-1].isdigit():
                    raise ProtocolError("malformed MSG")
                size = int(words[-1])
                if size > MAX_MESSAGE:
                    raise ProtocolError("message is too long")
                start = end + 2
                stop = start + size
                if len(buffer) < stop + 2:
                    break
                if not buffer.startswith(b"\r\n", stop):
                    raise ProtocolError("message does not end where it should")
                out.append(Message(int(words[1]), buffer[start:stop]))
                at = stop + 2
            else:
                word, _, text = buffer[at:end].strip().partition(b" ")
                op = word.upper().decode("ascii", "replace")
                if op not in {"INFO", "PING", "PONG", "+OK", "-ERR"}:
                    raise ProtocolError("unknown operation")
                out.append(Control(op, text.strip()))
                at = end + 2
        self._rest = buffer[at:]
        if end < 0 and len(self._rest) > MAX_LINE:
            raise ProtocolError("control line is too long")
        return out


class Server(NamedTuple):
    """Where a NATS server is; user and password when its URL has them."""

    host: str
    port: int
    tls: bool
    user: str
    password: str


def parse_urls(urls: str) -> list[Server]:
    """Parse `nats://[user:password@|token@]host[:port]` or `tls://...`, several separated by commas. Raises ValueError."""
    servers = []
    for url in filter(None, (part.strip() for part in urls.split(","))):
        parts = urlsplit(url if "://" in url else f"nats://{url}")
        try:
            port = parts.port or 4222
        except ValueError:
            port = 0
        if parts.scheme not in {"nats", "tls"} or not parts.hostname or not port:
            # Not the URL itself: it may have a password.
            raise ValueError(
                f"bus.url: need nats://host:port or tls://host:port, got scheme {parts.scheme!r}"
            )
        servers.append(
            Server(
                parts.hostname,
                port,
                parts.scheme == "tls",
                unquote(parts.username or ""),
                unquote(parts.password or ""),
            )
        )
    if not servers:
        raise ValueError("bus.url is empty")
    return servers


def connect_line(options: dict[str, Any]) -> bytes:
    """The CONNECT line."""
    return b"CONNECT " + json.dumps(options, separators=(",", ":")).encode() + b"\r\n"


def credentials(text: str) -> tuple[str, str]:
    """Take (seed, JWT or "") from a seed file or a NATS credentials file. Raises ValueError."""
    seed, jwt, block = "", "", ""
    for line in (line.strip() for line in text.splitlines()):
        if line.startswith("---"):
            block = "jwt" if "JWT" in line and "BEGIN" in line else ""
        elif line.startswith("SU") and len(line) == 58:
            seed = line
        elif line and block == "jwt":
            jwt = line
    if not seed:
        raise ValueError("bus.nkey_seed_file has no user seed (SU...)")
    return seed, jwt


def sign_nonce(seed: str, nonce: str) -> tuple[str, str]:
    """Sign the server's nonce with an nkey seed: (public key, signature). Raises ValueError for a bad seed."""
    # Only who uses nkeys pays for the import.
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    try:
        raw = base64.b32decode(seed + "=" * (-len(seed) % 8))
    except binascii.Error:
        raise ValueError("the nkey seed is not base32") from None
    # Two prefix bytes, 32 bytes of seed, CRC-16 little-endian.
    if len(raw) != 36 or binascii.crc_hqx(raw[:-2], 0) != int.from_bytes(raw[-2:], "little"):
        raise ValueError("the nkey seed is damaged")
    key = Ed25519PrivateKey.from_private_bytes(raw[2:34])
    public = bytes((20 << 3,)) + key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    public += binascii.crc_hqx(public, 0).to_bytes(2, "little")
    signature = base64.urlsafe_b64encode(key.sign(nonce.encode())).rstrip(b"=").decode()
    return base64.b32encode(public).rstrip(b"=").decode(), signature


def parse_info(text: bytes) -> dict[str, Any]:
    """What INFO tells. Raises ProtocolError."""
    try:
        info = json.loads(text)
    except ValueError:
        raise ProtocolError("INFO is not JSON") from None
    if not isinstance(info, dict):
        raise ProtocolError("INFO is not an object")
    return info
