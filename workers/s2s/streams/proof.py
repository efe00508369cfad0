"""What the other side's certificate proves. No I/O."""

from __future__ import annotations

from typing import Final, NamedTuple

from rookery.workers.s2s.streams.names import NONE, Names


class Proof(NamedTuple):
    """A certificate after the handshake: its names count only when its chain holds (`problem` is "")."""

    names: Names = NONE
    problem: str = "no certificate"

    def covers(self, domain: str) -> bool:
        """Whether it speaks for a prepared domain."""
        return not self.problem and self.names.cover(domain)

    def why_not(self) -> str:
        """In words, when it does not cover the domain."""
        return self.problem or "it is for other names"


NOTHING: Final = Proof()
