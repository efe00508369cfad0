"""Whom a hosted domain speaks with: federation off, everybody but a block-list, or an allow-list. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from rookery.shared.bus.kinds import ACCOUNTS
from rookery.shared.cluster.domains import DomainRow

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


#: What cannot be read lets nobody in or out.
NOBODY: Policy = Policy("closed")


def of_row(said: Mapping[str, Any]) -> Policy:
    """What the row of a hosted domain says: `mode`, `allow`, `block`, each of which may be missing."""
    mode, allow, block = said.get("mode", ""), said.get("allow", ()), said.get("block", ())
    if not isinstance(allow, list | tuple) or not isinstance(block, list | tuple):
        return NOBODY
    listed = Domains(str(name) for name in allow), Domains(str(name) for name in block)
    if mode in ("", "open"):
        return Policy("open", *listed)
    return Policy("listed", *listed) if mode == "listed" else NOBODY


class Policies:
    """The policy of the server, and those of hosted domains: a pair of domains speaks when both let it.

    A service (rooms, components) without a policy of its own has that of the domain of accounts that it belongs to.
    """

    def __init__(self, server: Policy) -> None:
        self._server = server
        self._domains: dict[str, Policy] = {}

    def learn(self, rows: Sequence[DomainRow]) -> None:
        """The hosted domains as they are now."""
        own = {row.name: of_row(row.federation) for row in rows if row.federation}
        found = dict(own)
        accounts = {row.name for row in rows if row.kind == ACCOUNTS}
        for row in rows:
            if row.kind == ACCOUNTS or row.name in own:
                continue
            above = row.parent or row.name
            while above and above not in accounts:
                above = above.partition(".")[2]
            if above in own:
                found[row.name] = own[above]
        self._domains = found

    def allows(self, remote: str, local: str) -> bool:
        """Whether a prepared remote domain and a hosted one may exchange stanzas."""
        if not self._server.allows(remote):
            return False
        policy = self._domains.get(local)
        return policy is None or policy.allows(remote)
