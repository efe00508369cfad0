"""Slots: what a request wants (XEP-0363 section 5), what is refused and how, and the signature of what was given. Pure."""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

import msgspec

from rookery.shared.xeps.upload import NS, PURPOSE, Options
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element
from rookery.workers.upload.names import OCTETS, clean, media_type, url

_DAY: Final = 86_400
_MOST_DIGITS: Final = 15
_LONGEST_TOKEN: Final = 4096


class Wanted(NamedTuple):
    """What a client wants to put. `before` is the Unix time at which the file must be gone, 0 for none; `said` the type in its words."""

    name: str
    size: int
    media_type: str
    purpose: str = "message"
    before: int = 0
    said: str = ""


class Slot(msgspec.Struct, frozen=True, array_like=True):
    """What a signature covers: one file of one account at one service, until a time. Times in Unix seconds; `expires` 0: never."""

    id: str
    domain: str
    account: int
    name: str
    size: int
    media_type: str
    until: int
    expires: int


class RefusedError(Exception):
    """No slot for a reason that an element of its own says beside the stanza error (section 7)."""

    def __init__(self, error: StanzaError, detail: Element) -> None:
        super().__init__(error.condition, error.text)
        self.error = error
        self.detail = detail

    def answer(self, iq: Stanza) -> Stanza:
        """The error that answers a request."""
        (error,) = iq.error(self.error).elements()
        error.children.append(self.detail)
        return Stanza.build("iq", error, type="error", to=iq.from_, from_=iq.to, id=iq.id)


def wanted(iq: Stanza) -> Wanted:
    """What a request asks for. Raises StanzaError bad-request."""
    request = iq.find(NS, "request")
    if request is None:
        raise StanzaError("bad-request")
    name, size = request.attrs.get("filename", ""), request.attrs.get("size", "")
    if not name:
        raise StanzaError("bad-request", "filename is missing")
    if not (size.isascii() and size.isdigit() and len(size) <= _MOST_DIGITS) or not int(size):
        raise StanzaError("bad-request", "size is a number of bytes, at least 1")
    purpose, before = "message", 0
    for element in request.elements(PURPOSE):
        purpose = element.name
        if purpose == "ephemeral":
            before = _moment(element.attrs.get("expire-before", ""))
        break
    said = request.attrs.get("content-type", "").strip()
    kind = media_type(said)
    plain = kind != OCTETS and said.isascii() and said.isprintable()
    return Wanted(clean(name), int(size), kind, purpose, before, said if plain else "")


def _moment(text: str) -> int:
    """Unix seconds of a DateTime (XEP-0082). Raises StanzaError."""
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None or "T" not in text:
            raise ValueError
        return int(moment.timestamp())
    except (ValueError, OverflowError):
        raise StanzaError("bad-request", "expire-before is no time as XEP-0082 writes it") from None


def judge(want: Wanted, options: Options, now: float) -> int:
    """When the file expires, in Unix seconds, 0 for never. Raises StanzaError for what no account may have."""
    most = min(options.file_bytes, options.profile_bytes) if want.purpose == "profile" else options.file_bytes
    if want.size > most:
        text = f"File too large. The maximum file size is {most} bytes"
        detail = Element(NS, "file-too-large", None, Element(NS, "max-file-size", None, str(most)))
        raise RefusedError(StanzaError("not-acceptable", text), detail)
    if want.purpose == "permanent":
        if not options.permanent:
            raise StanzaError("not-acceptable", "files are not kept for ever here")
        return 0
    days = options.profile_days if want.purpose == "profile" else options.days
    expires = int(now) + days * _DAY
    if want.before:
        if want.before <= now:
            raise StanzaError("bad-request", "expire-before is over")
        expires = min(expires, want.before)
    return expires


def over_quota(now: float) -> RefusedError:
    """The account has had its share of the day; the next one begins at midnight (UTC)."""
    at = datetime.fromtimestamp((int(now) // _DAY + 1) * _DAY, UTC)
    retry = Element(NS, "retry", {"stamp": f"{at:%Y-%m-%dT%H:%M:%SZ}"})
    return RefusedError(StanzaError("resource-constraint", "Quota of the day reached"), retry)


def given(iq: Stanza, slot: Slot, base: str, secret: bytes, at_store: str = "") -> Stanza:
    """The answer with a slot. A store's signature is in the URL, ours in a header, since URLs are in the logs of proxies."""
    address = url(base, slot.id, slot.name)
    if at_store:
        put = Element(NS, "put", {"url": at_store})
    else:
        header = Element(NS, "header", {"name": "Authorization"}, f"Bearer {sign(slot, secret)}")
        put = Element(NS, "put", {"url": address}, header)
    return iq.result(Element(NS, "slot", None, put, Element(NS, "get", {"url": address})))


# --- signatures ------------------------------------------------------------------------------------------------------


def sign(slot: Slot, secret: bytes) -> str:
    """A slot as a token that only who knows the secret can make."""
    packed = msgspec.msgpack.encode(slot)
    return urlsafe_b64encode(_mac(packed, secret) + packed).decode().rstrip("=")


def verify(token: str, secrets: Sequence[bytes]) -> Slot | None:
    """The slot of a token, None for what no secret has signed. Whether it is over is the caller's to look at."""
    if len(token) > _LONGEST_TOKEN or not token.isascii():
        return None
    try:
        raw = urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except ValueError:
        return None
    mac, packed = raw[:32], raw[32:]
    if not any(hmac.compare_digest(mac, _mac(packed, secret)) for secret in secrets):
        return None
    try:
        return msgspec.msgpack.decode(packed, type=Slot)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _mac(packed: bytes, secret: bytes) -> bytes:
    return hmac.new(secret, b"upload slot\0" + packed, hashlib.sha256).digest()
