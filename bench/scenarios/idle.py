"""Connections that do nothing: what memory and CPU each costs (name the server's processes).

Memory per connection is a slope: what the server gains from a fifth of the users to all, each read after the users were there
for as long as warm-up and duration last. What a server takes for its first users, whoever they are, is no cost of a connection.
"""

from __future__ import annotations

from rookery.bench.scenarios._scenario import Scenario, Window


class Idle(Scenario):
    """Everybody is there, available and silent."""

    operation = "idle"
    summary = "Connections that do nothing: memory and CPU per connection by the server's process ids."
    open_loop = False
    part = 5

    @classmethod
    def measures(cls) -> tuple[str, ...]:
        """Nothing is done here; only who is thrown out is told."""
        return ("connection",)

    def begin(self, window: Window) -> None:
        """Nothing begins."""


SCENARIO = Idle
