"""XEP-0198: Stream Management."""

# The grammar: elements, numbers, tokens. The machines are in `edge.sessions.management.machine` and `router.resumption`.

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Annotated, Final
from zlib import crc32

from rookery.shared.options import Section, about
from rookery.shared.xeps._xep import Xep
from rookery.shared.xeps.delayed_delivery import unstamped
from rookery.shared.xmpp import ns
from rookery.shared.xmpp.errors import StanzaError, StreamError
from rookery.shared.xmpp.xml import Element

NS: Final = "urn:xmpp:sm:3"


class Options(Section, frozen=True):
    """Acknowledgements between client and server, and resumption."""

    resume_seconds: Annotated[
        int,
        about(
            "How long a session lives without a socket, for its client to resume it",
            "seconds",
            ge=1,
            was="limits.resume_seconds",
        ),
    ] = 600
    ask_stanzas: Annotated[
        int, about("The client is asked for an acknowledgement after so many", "stanzas", ge=1)
    ] = 5
    ask_seconds: Annotated[
        float, about("And so long after one that it was not asked about", "seconds", ge=0)
    ] = 1.0
    answer_seconds: Annotated[
        float, about("A client that was asked and is silent for so long has lost its socket", "seconds", ge=1)
    ] = 60.0


XEP = Xep(
    198,
    "1.6.3",
    "complete",
    implemented_in="edge, router",
    note="acknowledges only what is committed; a stream resumes on any edge; a second request to enable is refused, not fatal; no location: every edge will do",
    options=Options,
)

#: Numbers on the wire are modulo this (section 4).
MODULUS: Final = 2**32
#: Longest `previd` that is looked at (section 5: an SM-ID should not be longer than 4000 bytes).
MAX_TOKEN: Final = 128
#: A stanza's number in its uid, with stream management: `n << DIGEST_BITS | digest of the content`. A client that leaves stanzas out
#: when it sends again after a resumption gives others the same number; those are not repetitions.
DIGEST_BITS: Final = 31

_DIGITS: Final = re.compile("[0-9]{1,10}", re.ASCII)
#: `max` is a preference of any size (section 3, xs:positiveInteger).
_SECONDS: Final = re.compile("[0-9]{1,64}", re.ASCII)
_TRUE: Final = frozenset({"true", "1"})
_FALSE: Final = frozenset({"false", "0", ""})


def feature() -> Element:
    """The stream feature, offered after authentication (section 2)."""
    return Element(NS, "sm")


def parse_number(text: str | None) -> int:
    """An xs:unsignedInt of ASCII digits. Raises ValueError for anything else (blanks, signs, other scripts, 2^32)."""
    if text is None or not _DIGITS.fullmatch(text):
        raise ValueError("not a number")
    number = int(text)
    if number >= MODULUS:
        raise ValueError("not below 2^32")
    return number


def wants_resumption(enable: Element) -> bool:
    """The attribute `resume` of `<enable/>` (section 3). Raises StanzaError(bad-request) when it is no boolean."""
    value = enable.get("resume") or ""
    if value not in _TRUE and value not in _FALSE:
        raise StanzaError("bad-request", "resume is a boolean")
    return value in _TRUE


def wanted_seconds(enable: Element) -> int:
    """The attribute `max` of `<enable/>`, 0 when there is none; what is longer than any stream lives is no mistake.

    Raises StanzaError(bad-request) for what is no number.
    """
    value = enable.get("max")
    if value is None:
        return 0
    if not _SECONDS.fullmatch(value):
        raise StanzaError("bad-request", "max is a number of seconds")
    return min(int(value), MODULUS - 1)


def enabled(token: bytes, seconds: int) -> Element:
    """`<enabled/>`; without a token the stream cannot be resumed."""
    if not token:
        return Element(NS, "enabled")
    return Element(NS, "enabled", {"id": write_token(token), "resume": "true", "max": str(seconds)})


def resumed(token: bytes, h: int) -> Element:
    """`<resumed/>` (section 5)."""
    return Element(NS, "resumed", {"previd": write_token(token), "h": str(h % MODULUS)})


def failed(condition: str, h: int = -1, text: str = "") -> Element:
    """`<failed/>` (section 6); `h` says what was handled of a stream that cannot be resumed any more (-1: unknown)."""
    attrs = {} if h < 0 else {"h": str(h % MODULUS)}
    words = Element(ns.STANZA_ERRORS, "text", {"xml:lang": "en"}, text) if text else None
    return Element(NS, "failed", attrs, Element(ns.STANZA_ERRORS, condition), words)


def answer(h: int) -> Element:
    """`<a/>`."""
    return Element(NS, "a", {"h": str(h % MODULUS)})


def too_high(h: int, sent: int) -> StreamError:
    """The client acknowledges more than it was sent (section 6)."""
    app = Element(NS, "handled-count-too-high", {"h": str(h), "send-count": str(sent % MODULUS)})
    text = f"You acknowledged {h} stanzas, but I only sent you {sent % MODULUS} so far."
    return StreamError("undefined-condition", text, app=app.xml(""))


def write_token(token: bytes) -> str:
    """The SM-ID as text."""
    return urlsafe_b64encode(token).decode().rstrip("=")


def read_token(text: str | None) -> bytes:
    """The bytes of an SM-ID of ours; b"" for anything that cannot be one."""
    if not text or len(text) > MAX_TOKEN or not text.isascii():
        return b""
    try:
        token = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        return b""
    return token if write_token(token) == text else b""


def advance(total: int, sent: int, h: int) -> int | None:
    """The unwrapped count behind a client's `h`.

    `total` is what it acknowledged last and `sent` what it was sent, both unwrapped. An `h` behind `total` changes nothing. None when
    it never was sent so many.
    """
    ahead = (h - total) % MODULUS
    if ahead <= sent - total:
        return total + ahead
    return total if MODULUS - ahead <= min(total, MODULUS // 2) else None


def uid_number(n: int, to: str, id: str, inner: bytes) -> int:
    """The number of a stanza in its uid: it grows with `n` and tells other content under the same `n`.

    A delay stamp does not count: clients add one to what they send again (section 4).
    """
    return n << DIGEST_BITS | crc32(unstamped(inner), crc32(f"{to}\0{id}".encode())) >> 1
