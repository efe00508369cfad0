"""What a peer and its address may cost (XEP-0205). No clock: `now` is an argument, in seconds."""

from __future__ import annotations

from rookery.shared.net.addresses import Nets, limit_key

#: Addresses kept with nothing open are swept when the table has doubled since the last sweep.
_SWEEP_FLOOR = 1024


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
        self.configure(concurrent, per_second)
        self._exempt = exempt
        self._peers: dict[str, _Peer] = {}
        self._sweep_at = _SWEEP_FLOOR

    def configure(self, concurrent: int, per_second: int) -> None:
        """Allow so much from now on."""
        self._concurrent = concurrent
        self._rate = float(per_second)
        # Browsers and clients with several accounts connect in bursts: two seconds' worth are allowed at once.
        self._burst = 2.0 * per_second

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
