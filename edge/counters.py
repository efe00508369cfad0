"""What an edge counts on its hot path: plain integers, given to the metrics once a second."""

from __future__ import annotations

from typing import Final

from rookery.shared.observe import metrics

_KINDS: Final = ("message", "presence", "iq")
_CHILDREN: Final = {
    (direction, kind): metrics.STANZAS.labels(direction, kind, "c2s")
    for direction in ("in", "out")
    for kind in _KINDS
}
_BYTES: Final = {direction: metrics.C2S_BYTES.labels(direction) for direction in ("in", "out")}
#: One stanza in so many has its size noted.
SAMPLE: Final = 64


class EdgeCounters:
    """Totals since the last `pump`."""

    __slots__ = ("bytes_in", "bytes_out", "stanzas_in", "stanzas_out")

    def __init__(self) -> None:
        self.bytes_in = 0
        self.bytes_out = 0
        self.stanzas_in = dict.fromkeys(_KINDS, 0)
        self.stanzas_out = dict.fromkeys(_KINDS, 0)

    def pump(self) -> None:
        """Add to the metrics what came since the last time."""
        for direction, counts in (("in", self.stanzas_in), ("out", self.stanzas_out)):
            for kind, count in counts.items():
                if count:
                    _CHILDREN[direction, kind].inc(count)
                    counts[kind] = 0
        _BYTES["in"].inc(self.bytes_in)
        _BYTES["out"].inc(self.bytes_out)
        self.bytes_in = self.bytes_out = 0
