"""What the machines of a stream ask their shell to do."""

from __future__ import annotations

from typing import NamedTuple

from rookery.shared.xmpp.errors import StreamError
from rookery.workers.s2s.streams.api import Trouble
from rookery.workers.s2s.streams.dialback import Key, Pair


class Send(NamedTuple):
    """Write bytes."""

    data: bytes


class StartTls(NamedTuple):
    """Begin the handshake when what was written has left; a new document follows."""


class Restart(NamedTuple):
    """A new document follows (RFC 6120 section 4.3.3)."""


class Opened(NamedTuple):
    """The stream may carry stanzas of its first pair."""


class Paired(NamedTuple):
    """A pair is proved, or is not (out: ours; in: theirs, always proved)."""

    pair: Pair
    trouble: Trouble | None = None


class Acked(NamedTuple):
    """The other side has handled the first `upto` stanzas."""

    upto: int


class Verify(NamedTuple):
    """Ask the authoritative server about a key; tell the machine with `verified`."""

    key: Key


class Vouch(NamedTuple):
    """Ask a domain whether the certificate that was shown is its own (RFC 7711); tell the machine with `vouched`."""

    domain: str


class Verified(NamedTuple):
    """The authoritative server has spoken: None when it could not say."""

    valid: bool | None


class Mark(NamedTuple):
    """The other side has no XEP-0198: send a ping behind what was sent."""


class Ended(NamedTuple):
    """The stream is over; `error` has been written. `trouble` is for whoever sends on it."""

    error: StreamError | None
    trouble: Trouble


Effect = Send | StartTls | Restart | Opened | Paired | Acked | Verify | Vouch | Verified | Mark | Ended
