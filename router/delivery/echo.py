"""`DOMAIN/echo`: sends messages back to who sent them, so that people can see whether theirs arrive. Pure."""

from __future__ import annotations

from typing import Final

from rookery.shared.store.rows import message_type, says_something
from rookery.shared.xmpp.stanza import Stanza

RESOURCE: Final = "echo"


def echo(message: Stanza) -> Stanza | None:
    """The answer to a message for `DOMAIN/echo`; None for any other address, and for what must not be answered."""
    domain, _, resource = message.to.partition("/")
    if resource != RESOURCE or "@" in domain or message_type(message) not in ("normal", "chat"):
        return None
    if not says_something(message) or message.from_.endswith(f"/{RESOURCE}"):
        # (two services that answer each other would never end)
        return None
    return message.replace(from_=message.to, to=message.from_)
