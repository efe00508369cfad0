"""SIGTERM ends a run the way Ctrl-C does: servers are stopped, folders removed, what was measured is shown."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from rookery.bench.result import Result


class Interrupted(KeyboardInterrupt):
    """A run was ended by hand after something was measured: `result` is that, with a note."""

    def __init__(self, result: Result) -> None:
        super().__init__()
        self.result = result


@contextmanager
def terminable() -> Iterator[None]:
    """Within the block SIGTERM is a Ctrl-C, once: the next one must not break off the cleaning up.

    Shells start background jobs deaf to SIGINT; in the block it is heard again, since trio takes it only then.
    """
    heard = False

    def terminate(_number: int, _frame: FrameType | None) -> None:
        nonlocal heard
        if not heard:
            heard = True
            signal.raise_signal(signal.SIGINT)

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    if before[signal.SIGINT] is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        for number, handler in before.items():
            # Told to end, this process ends: not by a second signal on its last lines.
            deaf = heard and number == signal.SIGTERM
            signal.signal(number, signal.SIG_IGN if deaf else handler)
