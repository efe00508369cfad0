"""Occupants from other servers, of all rooms of a process: no router tells of their ends, so they are asked, one for its domain or each for itself.

What makes that soon: a stream to their server that broke, a stanza that came back, a domain that was away and speaks again, one session
of a domain that is gone. What cannot be asked any more leaves the rooms (XEP-0045 section 17.3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import structlog

from rookery.shared.xmpp.jid import bare_of
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.muc.absent import Answer, question
from rookery.workers.muc.far import Far
from rookery.workers.muc.live import Live
from rookery.workers.muc.shell import Shell

#: Seconds between looks at the domains.
LOOK: Final = 5.0
_log = structlog.get_logger()


def domain_of(full: str) -> str:
    """The domain of an address."""
    return bare_of(full).rpartition("@")[2]


class Abroad:
    """`rooms` are all that are in memory; `gone` takes somebody out of a room, for a reason."""

    def __init__(
        self, shell: Shell, rooms: Callable[[], Iterable[Live]], gone: Callable[[Live, str, str], None]
    ) -> None:
        self._shell = shell
        self._rooms = rooms
        self._gone = gone
        self._far = Far()
        self._due = 0.0

    def heard(self, live: Live, stanza: Stanza, now: float) -> None:
        """Something came to a room that has occupants from other servers."""
        full = stanza.from_
        domain = domain_of(full)
        if full not in live.speaker.strangers.get(domain, ()):
            return
        answer = live.absent.answered(stanza, now)
        if answer is Answer.UNKNOWN:
            self._far.failed(domain, now)
            return
        back = self._far.came(domain, now)
        if answer is Answer.GONE:
            self._gone(live, full, "recipient-unavailable")
        if back or answer is Answer.GONE:
            self.shaken(domain)

    def shaken(self, domain: str) -> None:
        """Sessions of a domain may have ended without a word: all that are in rooms are asked."""
        if not self._shell.silence or not self._far.shaken(domain, self._shell.clock()):
            return
        for live in self._rooms():
            for full in live.speaker.strangers.get(domain, ()):
                live.absent.doubt(full)

    def tick(self, now: float) -> None:
        """Once a second: ask those who are in doubt, and look after the domains."""
        if not self._shell.silence:
            return
        looks = now >= self._due
        if looks:
            self._due = now + LOOK
        present: dict[str, Live] = {}
        for live in self._rooms():
            if live.absent.doubted:
                for full in live.absent.urgent():
                    self._ask(live, full)
            if looks and live.speaker.strangers:
                for domain in live.speaker.strangers:
                    present.setdefault(domain, live)
        if looks:
            self._domains(present, now)

    def _domains(self, present: dict[str, Live], now: float) -> None:
        asked, gone = self._far.look(present, now, self._shell.unreachable)
        for domain in asked:
            live = present[domain]
            full = live.absent.longest(live.speaker.strangers[domain], now)
            self._ask(live, full)
        for domain in gone:
            _log.info("muc_domain_gone", domain=domain)
            for live in self._rooms():
                for full in list(live.speaker.strangers.get(domain, ())):
                    self._gone(live, full, "remote-server-timeout")

    def look(self, live: Live, now: float) -> None:
        """About once a minute for each room: ask those of whom nothing came for long."""
        silence = self._shell.silence
        if not silence or not (live.speaker.strangers or live.absent.heard):
            return
        asked, gone = live.absent.look(live.speaker.abroad(), now, silence)
        for full in asked:
            self._ask(live, full)
        for full in gone:
            self._gone(live, full, "remote-server-timeout")

    def _ask(self, live: Live, full: str) -> None:
        self._shell.ways.route(question(live.jid, full))
