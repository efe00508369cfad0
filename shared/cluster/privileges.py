"""What components were granted for the users of their domains (XEP-0356), read from the rows of hosted domains. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from rookery.shared.bus.kinds import COMPONENTS
from rookery.shared.cluster.domains import DomainRow, services
from rookery.shared.xeps import privileged_entity
from rookery.shared.xeps.privileged_entity import Grants


def granted(rows: Sequence[DomainRow]) -> dict[str, tuple[str, Grants]]:
    """By component: the domain of accounts that it belongs to, and its grants."""
    above = {service: name for name, listed in services(rows).items() for service in listed}
    return {
        row.name: (above[row.name], privileged_entity.of_row(row.privileges))
        for row in rows
        if row.kind == COMPONENTS and row.privileges and row.name in above
    }


def told(rows: Sequence[DomainRow], which: Callable[[Grants], bool]) -> Mapping[str, tuple[str, ...]]:
    """By domain of accounts: the components that have a grant."""
    found: dict[str, tuple[str, ...]] = {}
    for component, (domain, grants) in granted(rows).items():
        if which(grants):
            found[domain] = (*found.get(domain, ()), component)
    return found
