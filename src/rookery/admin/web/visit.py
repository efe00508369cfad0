"""What a page works with, and what it answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from rookery.admin.desk import Desk
from rookery.admin.tokens import Token


class Visit(NamedTuple):
    """A request of somebody who is logged in: what stands in its path, its query and its form."""

    desk: Desk
    token: Token
    fields: Mapping[str, str]
    query: Mapping[str, str]
    form: Mapping[str, str]

    def asked(self, name: str) -> str:
        """A value of the query, without blanks around it."""
        return self.query.get(name, "").strip()

    def given(self, name: str) -> str:
        """A value of the form, without blanks around it."""
        return self.form.get(name, "").strip()


class Shown(NamedTuple):
    """A page: its template and what it shows."""

    template: str
    values: Mapping[str, Any]


class Moved(NamedTuple):
    """Something was done: the page to look at now, and which line of `DONE` tells what."""

    to: str
    done: str


class Page(NamedTuple):
    """One page or one change: `scope` allows it, beside "all" and, for what only shows, "read"."""

    method: str
    path: str
    name: str
    scope: str
    does: Callable[[Visit], Awaitable[Shown | Moved]]

    def allowed(self, scopes: frozenset[str]) -> bool:
        """Whether a token of these scopes may."""
        return bool({"all", self.scope} & scopes) or (self.method == "GET" and "read" in scopes)


#: What is told once something was done.
DONE = {
    "created": "The user was made.",
    "password": "The password was changed, and the sessions were ended.",
    "disabled": "The user cannot log in any more; the sessions were ended.",
    "enabled": "The user may log in again.",
    "erased": "The user was erased with every trace.",
    "kicked": "The sessions were ended.",
    "approved": "The user may log in now.",
    "rejected": "The account was removed; its name is free again.",
    "report": "The report was removed.",
    "domain": "The domain was changed.",
    "announced": "It was sent to everybody who is online.",
    "room": "The room was made.",
    "destroyed": "The room was destroyed.",
    "affiliation": "The affiliation was changed.",
    "retry": "The domain is tried now.",
    "dropped": "What waited goes back to its senders.",
    "drain": "The process gives away what it holds, and ends.",
    "level": "The log level was changed.",
}
