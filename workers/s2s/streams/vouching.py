"""Asking domains whether a certificate that a server has shown us is theirs (POSH, RFC 7711): streams that others open.

Whoever connects makes us ask, so questions are bounded: in all, and for each host. What comes beyond that is told that nobody vouches. The
documents are those of `posh`, which keeps them, and asks only where we may connect to.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from rookery.workers.s2s.streams.ground import Ground
from rookery.workers.s2s.streams.stream import Stream

_log = structlog.get_logger()
#: Questions under way in this process, and for one host.
QUESTIONS: Final = 32
QUESTIONS_HOST: Final = 4


class Voucher:
    """All such questions of this process. `spawn` runs a task."""

    def __init__(self, ground: Ground, spawn: Callable[[Callable[[], Awaitable[object]]], None]) -> None:
        self._ground = ground
        self._spawn = spawn
        self._hosts: Counter[str] = Counter()
        #: Certificates that were not asked about, since too much was under way.
        self.skipped = 0

    def ask(self, domain: str, host: str, stream: Stream, tell: Callable[[bool], None]) -> None:
        """Ask a domain about the certificate that `host` has shown on this stream; `tell` gets the answer in a later turn."""
        may = self._hosts.total() < QUESTIONS and self._hosts[host] < QUESTIONS_HOST
        if may:
            self._hosts[host] += 1
        else:
            self.skipped += 1

        async def question() -> None:
            good = False
            try:
                good = may and await self._good(domain, stream)
            finally:
                if may:
                    self._hosts -= Counter((host,))
            if stream.channel.open:
                tell(good)

        self._spawn(question)

    async def _good(self, domain: str, stream: Stream) -> bool:
        posh = self._ground.posh
        expected = None if posh is None else await posh.expected(domain)
        if expected is None or not stream.channel.open:
            return False
        proof = self._ground.tls.proof(stream.channel.sock, expected)
        if not proof.covers(domain):
            _log.info("s2s_in_untrusted", remote=domain, reason=proof.why_not())
        return proof.covers(domain)
