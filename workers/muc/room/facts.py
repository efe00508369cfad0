"""What the machine is told with each stanza, since it cannot know it: time, settings, randomness, who administers the service."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from rookery.shared.xeps.multi_user_chat import Options
from rookery.shared.xmpp.stanza import Stanza


class Told(Protocol):
    """An archived message: its number, when it was said (Unix seconds), as it was said, with its id of XEP-0359."""

    @property
    def n(self) -> int:
        """Its number."""

    @property
    def stamp(self) -> float:
        """When it was said."""

    @property
    def stanza(self) -> Stanza:
        """As it was said."""


class Facts(NamedTuple):
    """`now` in Unix seconds; `history` has the newest messages of the archive, oldest first.

    `admin`: the sender administers the service, and is like an owner everywhere. `may_create`: it may make rooms; `banned`: it comes into no room of the service;
    `listed`: into none where it has no affiliation. `stream` is the session of a user of ours that presence comes from, `n` its number there; `ended`: it comes
    because that session is over. `secret` is constant for the
    service (XEP-0421). `token` is new and cannot be guessed.
    """

    now: float
    options: Options = Options()
    history: Sequence[Told] = ()
    admin: bool = False
    may_create: bool = True
    secret: bytes = b""
    token: str = ""
    banned: bool = False
    listed: bool = False
    stream: bytes = b""
    n: int = 0
    ended: bool = False
