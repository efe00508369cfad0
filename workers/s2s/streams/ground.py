"""What all streams of a process share: reactor, certificates, settings, what is hosted and allowed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from rookery.shared.config import Limits, S2s
from rookery.shared.net.addresses import Nets
from rookery.shared.net.limits import Bucket
from rookery.shared.net.reactor import Reactor
from rookery.shared.xmpp.events import StreamLimits
from rookery.workers.s2s.streams.finding import Finder
from rookery.workers.s2s.streams.policies import Domains
from rookery.workers.s2s.streams.trust import Tls

#: Shapers of domains that are kept when no stream needs them.
SHAPERS: Final = 4096


class Shaper:
    """What one remote domain may send, whichever streams it uses."""

    __slots__ = ("_bytes", "_stanzas")

    def __init__(self, settings: S2s, now: float) -> None:
        self._bytes = Bucket(settings.bytes_per_second, settings.bytes_burst, now)
        self._stanzas = Bucket(settings.stanzas_per_second, settings.stanzas_burst, now)

    def take(self, size: int, stanzas: int, now: float) -> float:
        """For how many seconds not to read."""
        pause = self._bytes.take(size, now) if size else 0.0
        return max(pause, self._stanzas.take(stanzas, now)) if stanzas else pause


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
    exempt: Nets = field(init=False)
    before: StreamLimits = field(init=False)
    after: StreamLimits = field(init=False)
    _shapers: dict[str, Shaper] = field(default_factory=dict)

    def __post_init__(self) -> None:
        limits = self.limits
        self.exempt = Nets(limits.exempt_nets)
        self.before = StreamLimits(
            limits.preauth_bytes, limits.preauth_elements * 4, limits.preauth_depth, limits.element_attributes
        )
        self.after = StreamLimits(
            self.settings.stanza_bytes, limits.stanza_elements * 2, limits.stanza_depth, limits.element_attributes
        )  # fmt: skip

    def shaper(self, remote: str) -> Shaper:
        """The shaper of a remote domain; "" for a stream whose domain is not known yet."""
        if not remote:
            return Shaper(self.settings, self.reactor.clock())
        found = self._shapers.pop(remote, None) or Shaper(self.settings, self.reactor.clock())
        self._shapers[remote] = found
        if len(self._shapers) > SHAPERS:
            # The one that was asked for longest ago; streams that use it keep it.
            del self._shapers[next(iter(self._shapers))]
        return found
