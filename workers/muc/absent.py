"""Occupants from other servers that may be gone: no router tells of them, so who is silent for long is asked (XEP-0045 section 17.3). A pure machine.

They are asked for disco#info, which every client answers that is there (XEP-0030): a server says service-unavailable for a resource that it has not
(RFC 6121 section 8.5.3.2.3). A server that cannot be reached is another matter: its users go on when the line is back, so only TRIES questions
in a row without an answer take them out.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Final, NamedTuple

from rookery.shared.xmpp import ns
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

#: Questions without an answer after which an occupant is taken for gone.
TRIES: Final = 4
#: Questions of one room at once: the rest is asked the next time.
AT_ONCE: Final = 200
_INFO: Final = "http://jabber.org/protocol/disco#info"
#: The id of a question.
_ID: Final = "there?"
#: Errors that say that the session is no more.
_GONE: Final = frozenset(
    {"gone", "item-not-found", "jid-malformed", "recipient-unavailable", "redirect", "service-unavailable"}
)
#: Errors that say that nobody knows.
_UNKNOWN: Final = frozenset(
    {"internal-server-error", "remote-server-not-found", "remote-server-timeout", "resource-constraint"}
)


class Look(NamedTuple):
    """Who is to be asked, and who is gone."""

    asked: list[str]
    gone: list[str]


class Answer(Enum):
    """What a stanza of an occupant says of its session."""

    ALIVE = "alive"
    GONE = "gone"
    #: Its server cannot be reached.
    UNKNOWN = "unknown"


class Absent:
    """The occupants of one room that are on other servers. Times are Unix seconds."""

    __slots__ = ("_tries", "doubted", "heard")

    def __init__(self) -> None:
        #: When something came from them last; empty for most rooms.
        self.heard: dict[str, float] = {}
        #: Those who are to be asked at once.
        self.doubted: dict[str, None] = {}
        self._tries: dict[str, int] = {}

    def came(self, full: str, now: float) -> None:
        """Something came from an occupant."""
        self.heard[full] = now
        self.doubted.pop(full, None)
        self._tries.pop(full, None)

    def doubt(self, full: str) -> None:
        """Something for an occupant came back, or its session may be gone: it is asked at once, and until it answers."""
        self.heard[full] = float("-inf")
        self.doubted[full] = None

    def urgent(self) -> list[str]:
        """Whom to ask now; the rest another time."""
        found = list(self.doubted)[:AT_ONCE]
        for full in found:
            del self.doubted[full]
        return found

    def longest(self, fulls: Iterable[str], now: float) -> str:
        """Of some occupants the one that was silent for the longest time; the others have their turns before it is asked again."""
        found = min(fulls, key=lambda full: self.heard.get(full, 0.0))
        self.heard.setdefault(found, now)
        return found

    def look(self, remote: Iterable[str], now: float, silence: float) -> Look:
        """About once a minute: `remote` are all that are in now; who was silent for so many seconds is asked."""
        known = self.heard
        self.heard = heard = {full: known.get(full, now) for full in remote}
        self._tries = {full: tries for full, tries in self._tries.items() if full in heard}
        self.doubted = {full: None for full in self.doubted if full in heard}
        found = Look([], [])
        for full, at in heard.items():
            if now - at < silence:
                continue
            tries = self._tries.get(full, 0)
            if tries >= TRIES:
                found.gone.append(full)
            elif len(found.asked) < AT_ONCE:
                self._tries[full] = tries + 1
                found.asked.append(full)
        return found

    def answered(self, stanza: Stanza, now: float) -> Answer:
        """Take what came from an occupant."""
        if not is_answer(stanza):
            self.came(stanza.from_, now)
            return Answer.ALIVE
        condition = _condition(stanza)
        if condition in _UNKNOWN:
            return Answer.UNKNOWN
        self.came(stanza.from_, now)
        return Answer.GONE if condition in _GONE else Answer.ALIVE


def question(room: str, full: str) -> Stanza:
    """What an occupant is asked."""
    return Stanza.build("iq", Element(_INFO, "query"), type="get", id=_ID, from_=room, to=full)


def is_answer(stanza: Stanza) -> bool:
    """Whether a stanza to the room answers a question."""
    return stanza.kind == "iq" and stanza.id == _ID and stanza.type in ("result", "error")


def _condition(stanza: Stanza) -> str:
    """Why there is no answer; "" when there is one."""
    error = stanza.find(ns.CLIENT, "error") if stanza.type == "error" else None
    found = (
        [one.name for one in error.elements(ns.STANZA_ERRORS) if one.name != "text"]
        if error is not None
        else []
    )
    return found[0] if found else ""
