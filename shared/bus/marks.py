"""A mark: what was posted until now, and whether it has arrived. Pure.

A link knows what its peer has taken. Whoever gives up a copy of something because another process has it, waits until a mark is passed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rookery.shared.bus.links import Link


class Mark:
    """Everything that was queued on `links` when it was made. It is passed once every peer has taken that, or is given up."""

    __slots__ = ("_links", "_wanted")

    def __init__(self, links: Mapping[str, Link]) -> None:
        self._links: Final = links
        self._wanted = {peer: _end(link) for peer, link in links.items() if not link.idle}

    def passed(self) -> bool:
        """Whether all has arrived. A link that began anew has to bring what is sent again on it."""
        for peer, (generation, n) in list(self._wanted.items()):
            link = self._links.get(peer)
            if link is None or (link.generation == generation and link.acked >= n):
                del self._wanted[peer]
            elif link.generation != generation:
                self._wanted[peer] = _end(link)
        return not self._wanted


def _end(link: Link) -> tuple[int, int]:
    return link.generation, link.sent + len(link.queue)
