"""What operators ask of one process: to drain and end, and which lines to log. Wiring says what is done."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from rookery.shared.bus.messages import DrainProcess, Item, SetLogLevel


class Orders:
    """The orders that a process takes; until wiring has said what is done, nothing is."""

    def __init__(self) -> None:
        #: Drain and end, as on SIGTERM.
        self.drain: Callable[[], None] = lambda: None
        #: Write lines of this level and above.
        self.log_level: Callable[[str], None] = lambda level: None
        #: By item, as the control subject and the process's own subject bring them.
        self.handlers: dict[type, Callable[[Item], None]] = {
            DrainProcess: lambda item: self.drain(),
            SetLogLevel: lambda item: self.log_level(cast("SetLogLevel", item).level),
        }
