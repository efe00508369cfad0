"""What a session of BOSH is agreed to be: the client's wishes within the operator's limits (XEP-0124 section 7)."""

from __future__ import annotations

from typing import Final, NamedTuple

from rookery.edge.bosh.wrapper import VERSION, Wish
from rookery.shared.xeps.bosh import Options

#: What a client that says nothing of it gets.
_HOLD: Final = 1


class Terms(NamedTuple):
    """Times in seconds. `requests` may be under way at once, of which `hold` may wait for `wait`."""

    wait: int
    hold: int
    requests: int
    inactivity: int
    polling: int
    pause: int
    content: str
    ver: tuple[int, int]
    acks: bool

    @property
    def polls(self) -> bool:
        """Whether the client asks from time to time, because it cannot wait (section 12)."""
        return not (self.wait and self.hold)

    @property
    def legacy(self) -> bool:
        """Whether the client understands HTTP errors only (section 17.1)."""
        return self.ver == (0, 0)


def agree(wish: Wish, options: Options) -> Terms:
    """The terms of a new session."""
    wait = options.wait_seconds if wish.wait < 0 else min(wish.wait, options.wait_seconds)
    hold = min(_HOLD if wish.hold < 0 else wish.hold, options.hold_requests)
    polls = not (wait and hold)
    return Terms(
        wait=wait,
        hold=0 if polls else hold,
        requests=1 if polls else hold + 1,
        # Section 12: a client that polls is silent between two polls.
        inactivity=options.inactivity_seconds + (2 * options.polling_seconds if polls else 0),
        polling=options.polling_seconds,
        pause=options.pause_seconds,
        content=wish.content,
        ver=min(wish.ver, VERSION),
        acks=wish.acks,
    )


def told(terms: Terms, sid: str, rid: int, domain: str) -> dict[str, str | int]:
    """The attributes of the answer that creates a session (section 7.2, XEP-0206 section 4)."""
    attrs: dict[str, str | int] = {
        "sid": sid,
        "wait": terms.wait,
        "requests": terms.requests,
        "inactivity": terms.inactivity,
        "polling": terms.polling,
        "hold": terms.hold,
        "from": domain,
        "xmpp:version": "1.0",
        "xmpp:restartlogic": "true",
    }
    if terms.pause:
        attrs["maxpause"] = terms.pause
    if not terms.legacy:
        attrs["ver"] = f"{terms.ver[0]}.{terms.ver[1]}"
    if terms.acks:
        attrs["ack"] = rid
    return attrs
