"""A driver process: `python -m rookery.bench.driver.process`, orders on standard input, reports on standard output."""

from __future__ import annotations

import os
import sys
from typing import Final

import msgspec

from rookery.bench.driver import loop as loops
from rookery.bench.driver.driver import Driver
from rookery.bench.driver.report import Failed, Go, Onward, Order, ToDriver, ToParent
from rookery.bench.files import raise_files
from rookery.bench.plan import PlanError
from rookery.bench.scenarios import find
from rookery.bench.users import share

_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(ToDriver)
#: Files of a driver process that are not connections.
_OTHER_FILES: Final = 64


def tell(report: ToParent) -> None:
    """Write one report; without a parent that reads it there is no reason for this process to go on."""
    data = _ENCODER.encode(report) + b"\n"
    try:
        while data:
            data = data[os.write(1, data) :]
    except BrokenPipeError:
        raise SystemExit(1) from None


def main() -> None:
    """Serve one order."""
    first = sys.stdin.buffer.readline()
    if not first:
        return  # the parent was told to end meanwhile
    order = msgspec.json.decode(first, type=Order)
    loop = loops.Loop()
    try:
        connections = len(share(order.plan.users, order.of, order.number)) + find(
            order.plan.scenario
        ).further_files(order.plan)
        raise_files(connections + _OTHER_FILES, "a driver process", "raise that, or use more --processes")
        driver = Driver(order, loop, tell)
    except PlanError as error:
        tell(Failed(str(error)))
        return
    rest = b""

    def on_order(_events: int) -> None:
        nonlocal rest
        data = os.read(0, 65_536)
        if not data:
            # The parent is gone: so is the reason for this process.
            driver.quit()
            return
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            said = _DECODER.decode(line)
            if isinstance(said, Go):
                driver.go(said.at_ns)
            elif isinstance(said, Onward):
                driver.onward()
            else:
                driver.quit()

    loop.add(0, loops.READ, on_order)
    driver.prepare()
    loop.run()


if __name__ == "__main__":
    main()
