"""Resources of the domain itself that take messages: `DOMAIN/echo` sends them back, `DOMAIN/announce/...` tells others. Pure."""

from __future__ import annotations

from typing import Final

from rookery.shared.store.rows import message_type, says_something
from rookery.shared.xmpp.stanza import Stanza

RESOURCE: Final = "echo"
#: What administrators write to: `workers.account.announcements` knows the rest.
ANNOUNCE: Final = "announce/"


def echo(message: Stanza) -> Stanza | None:
    """The answer to a message for `DOMAIN/echo`; None for any other address, and for what must not be answered."""
    domain, _, resource = message.to.partition("/")
    if resource != RESOURCE or "@" in domain or message_type(message) not in ("normal", "chat"):
        return None
    if not says_something(message) or message.from_.endswith(f"/{RESOURCE}"):
        # (two services that answer each other would never end)
        return None
    return message.replace(from_=message.to, to=message.from_)


def announces(message: Stanza) -> bool:
    """Whether a message of a user here is an order to tell others."""
    domain, _, resource = message.to.partition("/")
    return resource.startswith(ANNOUNCE) and "@" not in domain and message.type != "error"
