"""What commands under ejabberd's names are."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, NamedTuple

from msgspec import Meta

from rookery.admin.desk import Desk
from rookery.admin.verb import Taken

Text = Annotated[str, Meta(max_length=10_000)]


class Command(NamedTuple):
    """One command: the scope that allows it (beside "all"), and whether "read" does too."""

    scope: str
    takes: type[Taken]
    does: Callable[[Desk, Any], Awaitable[Any]]
    reads: bool = False


class Nothing(Taken, frozen=True, kw_only=True):
    """No arguments."""


class OfHost(Taken, frozen=True, kw_only=True):
    """A domain."""

    host: Text
