"""Whom a hosted domain speaks with: federation off, everybody but a block-list, or an allow-list. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

Mode = Literal["open", "listed", "closed"]


class Domains:
    """A list of domains; `*.example.org` stands for every domain below example.org."""

    __slots__ = ("_below", "_exact")

    def __init__(self, domains: Iterable[str]) -> None:
        listed = tuple(domain.lower().rstrip(".") for domain in domains)
        self._exact = frozenset(domain for domain in listed if not domain.startswith("*."))
        self._below = frozenset(domain[2:] for domain in listed if domain.startswith("*."))

    def __contains__(self, domain: str) -> bool:
        """Whether a prepared domain is on it."""
        if domain in self._exact:
            return True
        if self._below:
            parent = domain
            while "." in parent:
                parent = parent.partition(".")[2]
                if parent in self._below:
                    return True
        return False

    def __bool__(self) -> bool:
        return bool(self._exact or self._below)


class Policy(NamedTuple):
    """`open`: all that are not blocked. `listed`: only those that are allowed and not blocked. `closed`: nobody."""

    mode: Mode = "open"
    allow: Domains = Domains(())
    block: Domains = Domains(())

    def allows(self, remote: str) -> bool:
        """Whether a prepared remote domain may exchange stanzas."""
        if self.mode == "closed" or remote in self.block:
            return False
        return self.mode == "open" or remote in self.allow
