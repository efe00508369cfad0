"""Numbers of stanzas between two servers of this kind, so that one that is sent again after a kill counts once. Pure.

XEP-0198 resumes a stream; a stream that ended with its process cannot be resumed, and neither side can tell whether the last stanzas arrived. So
a sender that is offered this feature tells with each stanza that has a row the number of the row, and once for each stream whose rows they are. The
number is the same whichever process sends the row again, on whatever stream: the receiver makes the uid of it, and its routers, rooms and archives know
a uid that they have taken. A number says nothing about other domains' stanzas: the uid has both domains in it.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final, NamedTuple

from rookery.shared.xmpp.errors import StreamError
from rookery.shared.xmpp.xml import Element

NS: Final = "urn:rookery:numbers:0"
_FEATURE: Final = Element(NS, "numbers")
#: Characters of a name; the highest number is that of a bigint.
MAX_NAME: Final = 64
_MAX: Final = 2**63 - 1
_DIGITS: Final = 19


class Number(NamedTuple):
    """The `n`-th row of the queues that are called `name`."""

    name: str
    n: int


def feature() -> Element:
    """What a receiver offers among its stream features."""
    return _FEATURE


def name_of(secret: bytes) -> str:
    """What the queues of a cluster are called: it tells nothing about the secret that makes it theirs."""
    return blake2b(secret, digest_size=16, person=b"s2s numbers").hexdigest()


def begin(name: str) -> bytes:
    """Said once, before the first number."""
    return f"<numbers xmlns='{NS}' of='{name}'/>".encode()


def before(n: int) -> bytes:
    """Said before the stanza that it belongs to."""
    return b"<n xmlns='urn:rookery:numbers:0' v='%d'/>" % n


def uid(number: Number, remote: str, local: str) -> tuple[bytes, int]:
    """The uid of a stanza that `remote` sent to `local`."""
    key = f"{number.name}\0{remote}\0{local}".encode()
    return blake2b(key, digest_size=16, person=b"s2s numbers").digest(), number.n


class Told:
    """What the other side says of the stanzas that it sends."""

    __slots__ = ("_n", "_name")

    def __init__(self) -> None:
        self._name = ""
        self._n = 0

    def hear(self, element: Element) -> None:
        """One of the elements above. Raises StreamError for what is none."""
        if element.name == "numbers":
            name = element.get("of") or ""
            if not 1 <= len(name) <= MAX_NAME:
                raise StreamError("bad-format", "numbers have a name")
            self._name = name
        elif element.name == "n":
            text = element.get("v") or ""
            if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS and 0 < int(text) <= _MAX):
                raise StreamError("bad-format", "v is a number")
            if not self._name:
                raise StreamError("bad-format", "a number needs a name")
            self._n = int(text)
        else:
            raise StreamError("unsupported-stanza-type")

    def take(self) -> Number | None:
        """The number of the stanza that has just come, if it has one."""
        n = self._n
        if not n:
            return None
        self._n = 0
        return Number(self._name, n)
