"""What a process tells operators of itself (`AskProcess`): who it is, whom it knows, what it has counted and logged."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

from rookery import __version__, _compiled
from rookery.shared.cluster.about import About
from rookery.shared.cluster.assign import Place
from rookery.shared.cluster.node import ClusterNode
from rookery.shared.cluster.orders import Question
from rookery.shared.observe import log
from rookery.shared.observe.history import History


def about(admin_port: int, place: Place) -> About:
    """This process as `rookery status` shows it."""
    started = int(time.time())
    return About(place.host, os.getpid(), admin_port, started, __version__, _compiled.state, place.zone)


def questions(node: ClusterNode, history: History) -> dict[str, Question]:
    """The questions that every process answers, by their names."""
    load = _Load(node)
    return {
        # Everybody alive, as a beat is: those that this process hears, and itself.
        "beat": lambda detail: beat(node, load.rate()),
        "peers": lambda detail: [*(one.incarnation for one in node.liveness.beats()), node.incarnation],
        "history": lambda detail: history.document(),
        "log": tail,
    }


def beat(node: ClusterNode, load: int) -> tuple[object, ...]:
    """What the process says of itself: the fields of `Beat`."""
    kinds = tuple(int(kind) for kind in node.kinds)
    state = "draining" if node.draining else "up"
    return node.incarnation, kinds, load, state, node.bus.speaks, tuple(node.about.pack())


def tail(detail: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The last lines of the log. Raises ValueError."""
    level, text = str(detail.get("level", "debug")), str(detail.get("text", ""))
    return log.tail(level, text, min(500, int(detail.get("limit", 200))))


class _Load:
    """Items a second that come in."""

    def __init__(self, node: ClusterNode) -> None:
        self._node = node
        self._then = time.monotonic()
        self._items = node.bus.stats.items_in
        self._rate = 0

    def rate(self) -> int:
        """Since it was asked for last, if that was not just now."""
        now = time.monotonic()
        if now - self._then >= 1.0:
            items = self._node.bus.stats.items_in
            self._rate = round((items - self._items) / (now - self._then))
            self._then, self._items = now, items
        return self._rate
