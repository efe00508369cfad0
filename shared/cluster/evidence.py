"""Who may be taken over: what the rows and the bus together prove. Pure.

A process is dead when its heartbeat row has expired *and* it is silent on the bus; or has been expired for `silent_limit`; or it consents
(it has left, or its parent reaped it, or it has lost Postgres and says so). Looking through a database that was just away proves
nothing: then everybody's row has expired.
"""

from __future__ import annotations

from collections.abc import Iterable

from rookery.shared.cluster.assign import Place
from rookery.shared.cluster.leases import Lease
from rookery.shared.cluster.liveness import Liveness
from rookery.shared.cluster.members import Member
from rookery.shared.config import Cluster as ClusterConfig


class Evidence:
    """What this process knows of the members. Times are its own monotonic seconds."""

    def __init__(self, me: str, liveness: Liveness, config: ClusterConfig) -> None:
        self._me = me
        self._liveness = liveness
        self._config = config
        self._members: dict[str, Member] = {}
        self._expired_since: dict[str, float] = {}
        self._seeing_since: float | None = None
        self._seen_at: float | None = None
        self._told: object = None
        #: Whether some member is late: beats then follow each other faster.
        self.suspects = False

    @property
    def seen(self) -> bool:
        """Whether the rows were ever read."""
        return self._seen_at is not None

    def cut_off(self, now: float) -> bool:
        """Whether Postgres has not been reached for as long as a lease lasts."""
        return self._seen_at is not None and now - self._seen_at > self._config.lease_ttl

    def blind(self) -> None:
        """Postgres cannot be reached."""
        self._seeing_since = None
        self._expired_since.clear()
        self.suspects = False

    def look(self, rows: Iterable[Member], now: float) -> bool:
        """Take the members as they are now; True when somebody joined, left, drains or is dead."""
        self._members = {row.incarnation: row for row in rows}
        self._seen_at = now
        if self._seeing_since is None:
            self._seeing_since = now
        expired = {m.incarnation for m in self._members.values() if m.late > 0}
        self._expired_since = {name: self._expired_since.get(name, now) for name in expired}
        slow = self._config.heartbeat * 2
        self.suspects = any(
            m.late > slow - self._config.lease_ttl + 0.5
            and m.open
            and m.incarnation != self._me
            and m.late < 60
            for m in self._members.values()
        )
        consenting, silent = self.dead(now)
        told = (
            frozenset((m.incarnation, m.open, m.draining, m.late > 0) for m in self._members.values()),
            frozenset(consenting),
            frozenset(silent),
        )
        changed, self._told = told != self._told, told
        return changed

    def dead(self, now: float) -> tuple[set[str], set[str]]:
        """(those who consent, those whose silence counts once their row has expired)."""
        liveness, config = self._liveness, self._config
        consenting: set[str] = set()
        silent: set[str] = set()
        seeing = 0.0 if self._seeing_since is None else now - self._seeing_since
        for name in self._members:
            if name == self._me:
                continue
            if liveness.gone(name) or not self._members[name].open:
                consenting.add(name)
            elif (
                liveness.silent(name, config.lease_ttl, now)
                # After an outage of Postgres everybody asks to be taken over for a moment.
                or (liveness.consents(name, now) and seeing >= config.lease_ttl)
                or now - self._expired_since.get(name, now) >= config.silent_limit
            ):
                silent.add(name)
        return consenting, silent

    def free(self, rows: Iterable[Lease], now: float) -> bool:
        """Whether some lease can be claimed by somebody."""
        consenting, silent = self.dead(now)
        dead = consenting | {name for name in silent if self._members[name].late > 0}
        return any(
            r.incarnation is None or r.incarnation in dead or r.incarnation not in self._members for r in rows
        )

    def places(self) -> dict[str, Place]:
        """Where the members run, as far as they say."""
        return {m.incarnation: m.place for m in self._members.values() if m.place is not None}

    def live(self) -> dict[str, frozenset[str]]:
        """Members that can be given partitions, with their kinds."""
        return {
            m.incarnation: m.kinds
            for m in self._members.values()
            if m.open
            and not m.draining
            and (m.late <= 0 or m.incarnation == self._me)
            and not self._liveness.draining(m.incarnation)
            and not self._liveness.gone(m.incarnation)
        }
