"""Connections that do nothing: what memory and CPU each costs (name the server's processes)."""

from __future__ import annotations

from rookery.bench.scenarios._scenario import Scenario, Window


class Idle(Scenario):
    """Everybody is there, available and silent."""

    operation = "idle"
    summary = "Connections that do nothing: memory and CPU per connection by the server's process ids."
    open_loop = False

    def begin(self, window: Window) -> None:
        """Nothing begins."""


SCENARIO = Idle
