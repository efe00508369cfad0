"""What all streams of a process share: reactor, certificates, settings, what is hosted and allowed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from rookery.shared.bucket import Bucket
from rookery.shared.config import Limits, S2s
from rookery.shared.net.addresses import Nets
from rookery.shared.net.reactor import Reactor
from rookery.shared.xmpp.events import StreamLimits
from rookery.workers.s2s.streams.finding import Finder
from rookery.workers.s2s.streams.policies import Domains
from rookery.workers.s2s.streams.posh import Posh
from rookery.workers.s2s.streams.trust import Tls

#: Shapers of domains that are kept when no stream needs them.
SHAPERS: Final = 4096


class Shaper:
    """What one remote domain may send, whichever streams it uses. A `stranger` has less, and shares it with the others."""

    __slots__ = ("_bytes", "_few", "_stanzas", "_strangers")

    def __init__(self, settings: S2s, now: float, strangers: Bucket | None = None) -> None:
        self._bytes = Bucket(settings.bytes_per_second, settings.bytes_burst, now)
        self._stanzas = Bucket(settings.stanzas_per_second, settings.stanzas_burst, now)
        self._strangers = strangers
        self._few = Bucket(max(1, settings.stranger_stanzas_per_second), settings.stranger_stanzas_burst, now)

    @property
    def stranger(self) -> bool:
        """Whether nobody here has written to the domain, as far as is known."""
        return self._strangers is not None

    def befriend(self) -> None:
        """Somebody here has written to it."""
        self._strangers = None

    def take(self, size: int, stanzas: int, now: float) -> float:
        """For how many seconds not to read."""
        pause = self._bytes.take(size, now) if size else 0.0
        if not stanzas:
            return pause
        if self._strangers is not None:
            pause = max(pause, self._few.take(stanzas, now), self._strangers.take(stanzas, now))
        return max(pause, self._stanzas.take(stanzas, now))


@dataclass(slots=True)
class Ground:
    """See the module's text.

    `hosted`: is it a domain of ours that speaks with others. `allowed`: may (remote, local) exchange stanzas. `secrets`: for dialback keys,
    newest first. `name` tells this process from others in the ids of pings.
    """

    reactor: Reactor
    tls: Tls
    finder: Finder
    settings: S2s
    limits: Limits
    name: str
    hosted: Callable[[str], bool]
    allowed: Callable[[str, str], bool]
    secrets: Callable[[], Sequence[bytes]]
    token: Callable[[], str]
    dialback: Domains
    #: What domains say over HTTPS of their certificates; None where that does not count.
    posh: Posh | None = None
    exempt: Nets = field(init=False)
    before: StreamLimits = field(init=False)
    after: StreamLimits = field(init=False)
    _shapers: dict[str, Shaper] = field(default_factory=dict)
    #: What hosts may send on streams on which no domain has proved itself.
    _hosts: dict[str, Shaper] = field(default_factory=dict)
    #: What all strangers may send; None where they are treated as others.
    _strangers: Bucket | None = field(init=False)
    #: Called with each remote domain of which it is to be found out whether it is a stranger.
    on_new: Callable[[str], None] = field(default=lambda remote: None)

    def __post_init__(self) -> None:
        limits = self.limits
        settings = self.settings
        self._strangers = None
        if settings.stranger_stanzas_per_second:
            now = self.reactor.clock()
            rate, burst = settings.strangers_stanzas_per_second, settings.strangers_stanzas_burst
            self._strangers = Bucket(rate, burst, now)
        self.exempt = Nets(limits.exempt_nets)
        self.before = StreamLimits(
            limits.preauth_bytes, limits.preauth_elements * 4, limits.preauth_depth, limits.element_attributes
        )
        self.after = StreamLimits(
            self.settings.stanza_bytes, limits.stanza_elements * 2, limits.stanza_depth, limits.element_attributes
        )  # fmt: skip

    def fresh(self) -> Shaper:
        """That of a stream of which nothing is known yet."""
        return Shaper(self.settings, self.reactor.clock())

    def host(self, host: str) -> Shaper:
        """What a host may send on all its streams together on which no domain has proved itself: no more than a stranger."""
        found = self._hosts.pop(host, None)
        if found is None:
            now = self.reactor.clock()
            rate = self.settings.stranger_stanzas_per_second
            found = Shaper(
                self.settings, now, Bucket(rate, self.settings.strangers_stanzas_burst, now) if rate else None
            )
        self._hosts[host] = found
        if len(self._hosts) > SHAPERS:
            del self._hosts[next(iter(self._hosts))]
        return found

    def shaper(self, remote: str) -> Shaper:
        """The shaper of a remote domain."""
        found = self._shapers.pop(remote, None)
        if found is None:
            found = Shaper(self.settings, self.reactor.clock(), self._strangers)
            if found.stranger:
                self.on_new(remote)
        self._shapers[remote] = found
        if len(self._shapers) > SHAPERS:
            # The one that was asked for longest ago; streams that use it keep it.
            del self._shapers[next(iter(self._shapers))]
        return found

    def strangers(self) -> list[str]:
        """Domains that nobody here has written to, as far as is known."""
        return [name for name, shaper in self._shapers.items() if shaper.stranger]

    def befriend(self, remote: str) -> None:
        """Somebody here has written to this domain."""
        shaper = self._shapers.get(remote)
        if shaper is not None:
            shaper.befriend()
