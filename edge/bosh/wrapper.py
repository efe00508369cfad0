"""What requests and answers of BOSH say beside what they carry (XEP-0124 sections 6, 7, 17; XEP-0206)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from rookery.shared.xmpp.body import NS, Wrapped
from rookery.shared.xmpp.events import Event, StreamOpened
from rookery.shared.xmpp.ns import CLIENT, STREAM
from rookery.shared.xmpp.xml import escape_attr

XBOSH: Final = "urn:xmpp:xbosh"
#: Section 14.1: more than this some clients cannot count.
MAX_RID: Final = 2**53 - 1
#: The version of XEP-0124 that is spoken here.
VERSION: Final = (1, 11)
TEXT_XML: Final = "text/xml; charset=utf-8"
#: What a client may want as the type of answers (section 7.1): nothing that a browser runs.
_TYPES: Final = re.compile(
    r"(text/xml|application/xml|text/plain)(\s*;\s*charset=\"?utf-8\"?)?", re.IGNORECASE
)
_NUMBER_DIGITS: Final = 16
_VERSION: Final = re.compile(r"([0-9]{1,4})\.([0-9]{1,4})")
_TRUE: Final = frozenset({"true", "1"})
_RESTART: Final = f"{{{XBOSH}}}restart"
_XMPP_VERSION: Final = f"{{{XBOSH}}}version"


class BadBodyError(ValueError):
    """The wrapper says what it must not; `condition` is the terminal binding condition (section 17.2)."""

    def __init__(self, condition: str = "bad-request") -> None:
        super().__init__(condition)
        self.condition = condition


class Ask(NamedTuple):
    """One request: numbers are -1 and texts "" when absent. `size` is that of the document in bytes."""

    rid: int
    sid: str
    to: str
    from_: str
    lang: str
    version: str
    #: "terminate" or "".
    type: str
    restart: bool
    pause: int
    ack: int
    key: str
    newkey: str
    events: list[Event]
    size: int

    @property
    def empty(self) -> bool:
        """Whether the client only asks what there is for it."""
        return not (self.events or self.restart or self.type or self.pause >= 0)

    @property
    def header(self) -> StreamOpened:
        """The header of the stream that this begins."""
        return StreamOpened(self.to, self.from_, self.lang, self.version or "1.0", "", CLIENT)


class Wish(NamedTuple):
    """What the first request asks of its session (section 7.1)."""

    wait: int
    hold: int
    content: str
    #: (0, 0) for a legacy client, which understands HTTP errors only (section 17.1).
    ver: tuple[int, int]
    acks: bool


_new: Final = tuple.__new__


def _number(attrs: Mapping[str, str], name: str, most: int) -> int:
    text = attrs.get(name)
    if text is None:
        return -1
    if len(text) > _NUMBER_DIGITS or not (text.isdecimal() and text.isascii()):
        raise BadBodyError
    number = int(text)
    if number > most:
        raise BadBodyError
    return number


def read(wrapped: Wrapped, size: int) -> Ask:
    """The request of a document. Raises BadBodyError."""
    attrs, events = wrapped
    get = attrs.get
    rid = _number(attrs, "rid", MAX_RID)
    type_ = get("type", "")
    if rid < 1 or type_ not in ("", "terminate"):
        raise BadBodyError
    pause, ack = _number(attrs, "pause", 65_535), _number(attrs, "ack", MAX_RID)
    restart = get(_RESTART, "") in _TRUE
    addresses = get("sid", ""), get("to", ""), get("from", ""), get("xml:lang", ""), get(_XMPP_VERSION, "")
    keys = get("key", "").lower(), get("newkey", "").lower()
    # Ask's own constructor is a Python function around this call.
    return _new(Ask, (rid, *addresses, type_, restart, pause, ack, *keys, events, size))


def read_wish(wrapped: Wrapped) -> Wish:
    """What the document asks for as the first of a session. Raises BadBodyError."""
    attrs = wrapped.attrs
    content = attrs.get("content", TEXT_XML)
    if not _TYPES.fullmatch(content):
        raise BadBodyError
    ver = _VERSION.fullmatch(attrs.get("ver", ""))
    return Wish(
        wait=_number(attrs, "wait", 65_535),
        hold=_number(attrs, "hold", 255),
        content=content,
        ver=(int(ver[1]), int(ver[2])) if ver else (0, 0),
        acks=attrs.get("ack") == "1",
    )


def write(attrs: Mapping[str, str | int], payloads: bytes = b"") -> bytes:
    """An answer's document."""
    said = ""
    prefixed = False
    for name, value in attrs.items():
        said += f" {name}='{escape_attr(str(value))}'"
        prefixed = prefixed or name.startswith("xmpp:")
    if prefixed:
        said += f" xmlns:xmpp='{XBOSH}'"
    if b"<stream:" in payloads:
        said += f" xmlns:stream='{STREAM}'"
    head = f"<body xmlns='{NS}'{said}"
    if not payloads:
        return f"{head}/>".encode()
    return b"%b>%b</body>" % (head.encode(), payloads)


def terminal(condition: str, payloads: bytes = b"") -> bytes:
    """The end of a session; without a condition it is in order (sections 13, 17.2)."""
    attrs = {"type": "terminate"} | ({"condition": condition} if condition else {})
    return write(attrs, payloads)


#: An answer that has nothing to say.
NOTHING: Final = write({})
#: A recoverable condition (section 17.3): the client shall repeat its requests.
REPEAT: Final = write({"type": "error"})
