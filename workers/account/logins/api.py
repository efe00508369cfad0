"""What a back end is: it says whose a password or token is. Whatever it says, it says in time, or it is away."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class AwayError(Exception):
    """The back end did not answer, or not what it should: nobody knows whether the secret is right. The text is for the log."""


class Answer(NamedTuple):
    """`localpart` is who logs in, not prepared; "" for nobody. `until`: the answer is not believed beyond this (Unix seconds, 0: no end)."""

    localpart: str = ""
    until: float = 0.0


class BackEnd(Protocol):
    """Checks secrets for one domain."""

    async def check(self, domain: str, localpart: str, secret: str) -> Answer:
        """Whose secret this is; `localpart` is who the client says it is, "" when it has not. Raises AwayError."""

    async def aclose(self) -> None:
        """Let connections go."""
