"""Which requests of a domain are delegated to components (XEP-0355), read from the rows of hosted domains. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rookery.shared.bus.kinds import COMPONENTS
from rookery.shared.cluster.domains import DomainRow, services
from rookery.shared.xeps import namespace_delegation, privileged_entity
from rookery.shared.xeps.namespace_delegation import Delegations, Nested
from rookery.shared.xeps.service_administration import NODES
from rookery.shared.xmpp.stanza import Stanza


class Delegated(NamedTuple):
    """Of one domain of accounts: (component, attributes) by namespace, and what is nested into its answers."""

    spaces: Mapping[str, tuple[str, tuple[str, ...]]]
    nested: tuple[Nested, ...]

    def managing(self, iq: Stanza, *, bare: bool) -> str:
        """The component that a request to the domain or, with `bare`, to one of its accounts is for; "" for none (section 4.3)."""
        if iq.type not in ("get", "set") or len(iq.payloads) != 1:
            return ""
        uri = iq.payloads[0][0]
        found = self.spaces.get(uri)
        if found is None and bare and (uri := namespace_delegation.discovery(iq, NODES)):
            found = self.spaces.get(uri)
            return "" if found is None or _is_of(iq, found[0]) else found[0]
        if found is None or not namespace_delegation.concerns(iq, uri, found[1]) or _is_of(iq, found[0]):
            return ""
        return found[0]


def _is_of(iq: Stanza, component: str) -> bool:
    """What a managing entity sends, itself or as a privileged one for a user, is not forwarded (section 4.3.1)."""
    sender = iq.from_.partition("/")[0].rpartition("@")[2]
    return sender == component or privileged_entity.component_of(iq.id) == component


def of_components(rows: Sequence[DomainRow]) -> dict[str, tuple[str, Delegations]]:
    """By component: the domain of accounts that it belongs to, and what is delegated to it."""
    above = {service: name for name, listed in services(rows).items() for service in listed}
    found = {
        row.name: (above[row.name], namespace_delegation.of_row(row.delegations))
        for row in rows
        if row.kind == COMPONENTS and row.delegations and row.name in above
    }
    return {component: one for component, one in found.items() if one[1]}


def of_domains(rows: Sequence[DomainRow]) -> dict[str, Delegated]:
    """By domain of accounts. A namespace that two components have is the first one's, by name."""
    told = {row.name: row.nested for row in rows}
    spaces: dict[str, dict[str, tuple[str, tuple[str, ...]]]] = {}
    nested: dict[str, tuple[Nested, ...]] = {}
    for component, (domain, delegations) in sorted(of_components(rows).items()):
        known = spaces.setdefault(domain, {})
        fresh = {uri: attributes for uri, attributes in delegations.items() if uri not in known}
        known.update({uri: (component, attributes) for uri, attributes in fresh.items()})
        more = namespace_delegation.nested_of_row(told[component], fresh)
        nested[domain] = nested.get(domain, ()) + more
    return {domain: Delegated(known, nested[domain]) for domain, known in spaces.items()}
