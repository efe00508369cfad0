"""Whether NATS can be reached, for who must know it before anything else is started."""

from __future__ import annotations

import secrets

import trio

from rookery.shared.bus.nats import NatsBus
from rookery.shared.config import Bus as BusConfig


async def reach(config: BusConfig, seconds: float) -> str:
    """Try to connect for so long; returns "" when it worked, else the address and the reason."""
    bus = NatsBus(f"probe{secrets.token_hex(6)}", config, quiet=True)
    with trio.move_on_after(seconds):
        async with trio.open_nursery() as nursery:
            await nursery.start(bus.run)
            nursery.cancel_scope.cancel()
    if bus.connections:
        return ""
    return bus.trouble or f"no answer in {seconds:g} s"
