"""Ids of command sessions (XEP-0050 section 3.3) that carry what they are good for, so that whichever process gets the next stage can go on. Pure."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Final, NamedTuple

from rookery.shared.xeps.adhoc_commands import NS
from rookery.shared.xmpp.errors import StanzaError

#: A person fills in the form in this time, in seconds.
LASTS: Final = 3600
_DIGEST: Final = "sha256"


class Bearer(NamedTuple):
    """What a session is good for: one command of one address, asked by one client (section 3.3: one requester, one responder)."""

    node: str
    full: str
    to: str

    def mac(self, secret: bytes, said: str) -> str:
        """The seal of what an id says."""
        text = f"{self.node}\0{self.full}\0{self.to}\0{said}"
        return hmac.digest(secret, text.encode(), _DIGEST).hex()[:40]


def issue(secret: bytes, bearer: Bearer, now: float, nonce: str) -> str:
    """A new id."""
    said = f"{int(now):x}.{nonce}"
    return f"{said}.{bearer.mac(secret, said)}"


def verify(secrets: Sequence[bytes], bearer: Bearer, id: str, now: float) -> None:
    """Raises StanzaError: bad-sessionid for what was not issued here for this bearer, session-expired for what is too old (section 4.4)."""
    said, _, mac = id.rpartition(".")
    if not any(hmac.compare_digest(bearer.mac(secret, said).encode(), mac.encode()) for secret in secrets):
        raise StanzaError("bad-request", "this session is not yours", app=(NS, "bad-sessionid"))
    if not 0 <= now - int(said.partition(".")[0], 16) < LASTS:
        raise StanzaError("not-allowed", "begin again", app=(NS, "session-expired"))
