"""What components may do for users (XEP-0356): by grants in their rows, for the domain of accounts that they belong to. Nothing else is believed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from rookery.shared.bus.kinds import COMPONENTS
from rookery.shared.bus.messages import Handle, Origin
from rookery.shared.cluster.domains import DomainRow, services
from rookery.shared.xeps import privileged_entity
from rookery.shared.xeps.privileged_entity import Grants
from rookery.shared.xmpp import ns
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.jid import bare_of
from rookery.shared.xmpp.stanza import Stanza


class Privileges:
    """The grants of all components; `account` says whether an address is that of an account here."""

    def __init__(self, account: Callable[[str], bool]) -> None:
        self._account = account
        self._grants: Mapping[str, tuple[str, Grants]] = {}

    def learn(self, rows: Sequence[DomainRow]) -> None:
        """The hosted domains as they are now."""
        above = {service: name for name, listed in services(rows).items() for service in listed}
        self._grants = {
            row.name: (above[row.name], privileged_entity.of_row(row.privileges))
            for row in rows
            if row.kind == COMPONENTS and row.privileges and row.name in above
        }

    def advertised(self, component: str) -> Stanza | None:
        """What a component is told of its grants, None without any."""
        domain, grants = self._grants.get(component, ("", Grants()))
        return privileged_entity.advertised(grants, domain, component) if grants.any else None

    def special(self, origin: Origin, stanza: Stanza) -> Stanza | Handle | None:
        """What a stanza of a component means that needs a privilege; None for all others. Raises StanzaError."""
        if stanza.kind == "message":
            if stanza.type == "error" or not stanza.has(privileged_entity.NS, "privilege"):
                return None
            domain, grants = self._granted(stanza)
            if grants.message != "outgoing" or stanza.to != domain:
                raise StanzaError("forbidden")
            return privileged_entity.unwrapped(stanza, domain)
        if stanza.kind != "iq" or stanza.type not in ("get", "set"):
            return None
        if stanza.has(privileged_entity.NS, "privileged_iq"):
            raise StanzaError("forbidden", "no requests are granted")
        if not stanza.has(ns.ROSTER, "query") or not self._account(stanza.to):
            return None
        domain, grants = self._granted(stanza)
        if bare_of(stanza.to).rpartition("@")[2] != domain or "/" in stanza.to:
            raise StanzaError("forbidden")
        if not grants.roster_allows(stanza.type):
            raise StanzaError("forbidden")
        return Handle(origin, stanza.to, stanza.from_, True, stanza)

    def _granted(self, stanza: Stanza) -> tuple[str, Grants]:
        """Of the component itself, not of one of its addresses. Raises StanzaError."""
        found = self._grants.get(stanza.from_)
        if found is None:
            raise StanzaError("forbidden")
        return found
