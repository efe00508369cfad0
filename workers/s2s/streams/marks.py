"""Pings in place of `<r/>` for servers without XEP-0198, and their answers, which come on another stream and perhaps to another process.

The id of a ping says which process and link sent it, and how many stanzas went before it. Only the domain that was asked may answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from rookery.shared.xeps import ping
from rookery.shared.xmpp.xml import escape_attr
from rookery.workers.s2s.streams.dialback import Pair

if TYPE_CHECKING:
    from rookery.shared.xmpp.stanza import Stanza

_PREFIX: Final = "s2s-mark"
_ANSWERS: Final = frozenset({"result", "error"})


class Marked(Protocol):
    """A link that waits for answers."""

    @property
    def remote(self) -> str:
        """The domain that was asked."""

    def answered(self, count: int) -> None:
        """Its first `count` stanzas are handled."""


class Marks:
    """All links of this process; `name` is the process's, without a full stop or not: it is the last part of an id."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._links: dict[int, Marked] = {}
        self._last = 0
        #: Told the process, the remote domain and the id of an answer that another process waits for.
        self.elsewhere: Callable[[str, str, str], None] = lambda name, remote, id: None

    def enter(self, link: Marked) -> int:
        """The number of a new link."""
        self._last += 1
        self._links[self._last] = link
        return self._last

    def leave(self, number: int) -> None:
        """A link has closed."""
        self._links.pop(number, None)

    def ping(self, number: int, count: int, pair: Pair) -> bytes:
        """What goes behind `count` stanzas of a link."""
        id = f"{_PREFIX}.{number}.{count}.{self._name}"
        return (
            f"<iq type='get' id='{escape_attr(id)}' from='{escape_attr(pair.sender)}'"
            f" to='{escape_attr(pair.receiver)}'><ping xmlns='{ping.NS}'/></iq>"
        ).encode()

    def heard(self, stanza: Stanza) -> bool:
        """Whether this stanza is an answer to a ping of ours; then nobody else needs it."""
        if stanza.kind != "iq" or not stanza.id.startswith(_PREFIX) or stanza.type not in _ANSWERS:
            return False
        if "@" in stanza.to or "/" in stanza.to:
            return False
        return self.answered(stanza.from_, stanza.id)

    def answered(self, remote: str, id: str) -> bool:
        """An answer came here, or to another process that passes it on. False when it is none."""
        parts = id.split(".", 3)
        if len(parts) != 4 or not all(part.isascii() and part.isdigit() for part in parts[1:3]):
            return False
        _, number, count, name = parts
        if name != self._name:
            self.elsewhere(name, remote, id)
            return True
        link = self._links.get(int(number[:20]))
        if link is not None and link.remote == remote:
            link.answered(int(count[:20]))
        return True
