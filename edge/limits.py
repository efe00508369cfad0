"""What a peer address and a stream may cost (XEP-0205; `Limits` in `shared.config`). No clock: `now` is an argument."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from rookery.shared.config import Limits
from rookery.shared.xmpp.stanza import Stanza

Network = IPv4Network | IPv6Network
#: Addresses kept with nothing open are swept when the table has doubled since the last sweep.
_SWEEP_FLOOR = 1024


class Nets:
    """A fixed set of networks; IPv4-mapped IPv6 addresses count as IPv4."""

    __slots__ = ("_cache", "_nets")

    def __init__(self, nets: Iterable[str]) -> None:
        self._nets: tuple[Network, ...] = tuple(ip_network(net, strict=False) for net in nets)
        self._cache: dict[str, bool] = {}

    def __contains__(self, host: str) -> bool:
        """Whether `host` (an address without a scope or brackets) is in one of the networks."""
        known = self._cache.get(host)
        if known is None:
            if len(self._cache) > 65536:
                self._cache.clear()
            known = self._cache[host] = self._look(host)
        return known

    def _look(self, host: str) -> bool:
        address = parse_address(host)
        return address is not None and any(
            net.version == address.version and address in net for net in self._nets
        )


def parse_address(host: str) -> IPv4Address | IPv6Address | None:
    """The address that the kernel or a proxy named; the scope is cut and mapped IPv4 is unwrapped."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def limit_key(host: str) -> str:
    """What limits count by: an IPv4 address, or the /64 of an IPv6 address (one customer has at least that many)."""
    address = parse_address(host)
    if isinstance(address, IPv6Address):
        return str(IPv6Address(int(address) >> 64 << 64))
    return str(address) if address is not None else host


class Bucket:
    """A token bucket that is drained after the fact and says how long not to read.

    Bytes and stanzas that have been read are always taken, so the level may become negative by one turn's worth; the reader then
    waits until it is positive again. Nothing is ever dropped.
    """

    __slots__ = ("_at", "_burst", "_level", "_rate")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._level = burst
        self._at = now

    def take(self, amount: float, now: float) -> float:
        """Take `amount`; returns for how many seconds not to read (0.0 while tokens are left)."""
        level = self._level + (now - self._at) * self._rate
        if level > self._burst:
            level = self._burst
        self._at = now
        self._level = level = level - amount
        return 0.0 if level > 0 else -level / self._rate + 1 / self._rate


#: What a broadcast of presence costs in stanzas: the server makes one for each contact of it.
BROADCAST: Final = 10


def weight(event: object) -> int:
    """What an event costs in stanzas."""
    if isinstance(event, Stanza) and event.kind == "presence" and not event.to:
        return BROADCAST
    return 1


class Shaper:
    """The two buckets of a session, and until when it is not to be read."""

    __slots__ = ("_bytes", "_stanzas", "until")

    def __init__(self, limits: Limits, now: float) -> None:
        self._bytes = Bucket(limits.bytes_per_second, limits.bytes_burst, now)
        self._stanzas = Bucket(limits.stanzas_per_second, limits.stanzas_burst, now)
        self.until = 0.0

    def take(self, size: int, stanzas: int, now: float) -> bool:
        """Take what was read. True when reading has to stop until `until`."""
        wait = max(self._bytes.take(size, now), self._stanzas.take(stanzas, now))
        if wait:
            self.until = max(self.until, now + wait)
        return wait > 0.0


class _Peer:
    __slots__ = ("at", "level", "open")

    def __init__(self, level: float, now: float) -> None:
        self.open = 0
        self.level = level
        self.at = now


class Doorkeeper:
    """Concurrent connections and new connections a second for each address.

    `enter` says whether a new connection may stay and counts it; `leave` uncounts it. An exempt address is not counted.
    """

    def __init__(self, concurrent: int, per_second: int, exempt: Nets) -> None:
        self._concurrent = concurrent
        self._rate = float(per_second)
        # Browsers and clients with several accounts connect in bursts: two seconds' worth are allowed at once.
        self._burst = 2.0 * per_second
        self._exempt = exempt
        self._peers: dict[str, _Peer] = {}
        self._sweep_at = _SWEEP_FLOOR

    def enter(self, host: str, now: float) -> bool:
        """Count a new connection from `host`; False when it must be closed at once (it is then not counted)."""
        if host in self._exempt:
            return True
        key = limit_key(host)
        peer = self._peers.get(key)
        if peer is None:
            self._sweep(now)
            peer = self._peers[key] = _Peer(self._burst, now)
        peer.level = min(self._burst, peer.level + (now - peer.at) * self._rate)
        peer.at = now
        if peer.open >= self._concurrent or peer.level < 1.0:
            return False
        peer.level -= 1.0
        peer.open += 1
        return True

    def leave(self, host: str) -> None:
        """Uncount a connection that `enter` allowed."""
        if host in self._exempt:
            return
        peer = self._peers.get(limit_key(host))
        if peer is not None and peer.open > 0:
            peer.open -= 1

    def _sweep(self, now: float) -> None:
        if len(self._peers) < self._sweep_at:
            return
        full = self._burst / self._rate
        self._peers = {key: peer for key, peer in self._peers.items() if peer.open or now - peer.at < full}
        self._sweep_at = max(_SWEEP_FLOOR, 2 * len(self._peers))

    def __len__(self) -> int:
        return len(self._peers)


class Failures:
    """Failed authentications of each address in a window; the window begins with the first failure.

    Whoever asks leaves exempt networks out: a whole site may come from one of their addresses.
    """

    def __init__(self, limit: int, window: float) -> None:
        self._limit = limit
        self._window = window
        self._seen: dict[str, tuple[int, float]] = {}
        self._sweep_at = _SWEEP_FLOOR

    def blocked(self, host: str, now: float) -> bool:
        """Whether `host` has used up its failures."""
        count, since = self._seen.get(limit_key(host), (0, now))
        return count >= self._limit and now - since < self._window

    def add(self, host: str, now: float) -> None:
        """Note a failure."""
        key = limit_key(host)
        count, since = self._seen.get(key, (0, now))
        if now - since >= self._window:
            count, since = 0, now
        if count == 0:
            self._sweep(now)
        count += 1
        # The lock lasts a whole window after the failure that reached the limit.
        self._seen[key] = (count, now if count == self._limit else since)

    def _sweep(self, now: float) -> None:
        if len(self._seen) >= self._sweep_at:
            self._seen = {key: seen for key, seen in self._seen.items() if now - seen[1] < self._window}
            self._sweep_at = max(_SWEEP_FLOOR, 2 * len(self._seen))

    def __len__(self) -> int:
        return len(self._seen)
