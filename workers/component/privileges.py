"""What components may do for users (XEP-0356): by grants in their rows, for the domain of accounts that they belong to. Nothing else is believed."""

from __future__ import annotations

import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from rookery.shared.bus.messages import Handle, Origin
from rookery.shared.cluster.domains import DomainRow
from rookery.shared.cluster.privileges import granted
from rookery.shared.xeps import privileged_entity
from rookery.shared.xeps.privileged_entity import Grants
from rookery.shared.xmpp import ns
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.jid import bare_of
from rookery.shared.xmpp.stanza import Stanza

_SEAL: Final = 16
#: The longest id of a request that is made for a user.
_LONGEST_ID: Final = 256


class Privileges:
    """The grants of all components; `account` says whether an address is that of an account here.

    What requests in the name of users are called is sealed with `secret`, which all processes share: the answer may come to any of them.
    """

    def __init__(self, account: Callable[[str], bool]) -> None:
        self._account = account
        self._grants: Mapping[str, tuple[str, Grants]] = {}
        self.secret = b""

    def learn(self, rows: Sequence[DomainRow]) -> None:
        """The hosted domains as they are now."""
        self._grants = granted(rows)

    def sees(self, component: str) -> str:
        """The domain of accounts whose users' presence a component is told, "" for none."""
        domain, grants = self._grants.get(component, ("", Grants()))
        return domain if grants.presence != "none" else ""

    def observes(self, component: str) -> bool:
        """Whether a component is told of whom users see, too."""
        return self._grants.get(component, ("", Grants()))[1].presence == "roster"

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
            return self._request(stanza)
        if not stanza.has(ns.ROSTER, "query") or not self._account(stanza.to):
            return None
        domain, grants = self._granted(stanza)
        if bare_of(stanza.to).rpartition("@")[2] != domain or "/" in stanza.to:
            raise StanzaError("forbidden")
        if not grants.roster_allows(stanza.type):
            raise StanzaError("forbidden")
        return Handle(origin, stanza.to, stanza.from_, True, stanza)

    def _request(self, stanza: Stanza) -> Stanza:
        """What a component asks for a user (section 6.3). Raises StanzaError."""
        domain, grants = self._granted(stanza)
        if not self._account(stanza.to) or "/" in stanza.to or stanza.to.rpartition("@")[2] != domain:
            raise StanzaError("forbidden", "it is not for the bare address of a user")
        request = privileged_entity.encapsulated(stanza, grants)
        if not self.secret:
            raise StanzaError("resource-constraint", "the server has just begun: try again")
        if len(stanza.id) + len(request.id) > _LONGEST_ID:
            raise StanzaError("bad-request", "the ids are too long")
        text = json.dumps([stanza.to, request.to, stanza.id, request.id]).encode()
        sealed = urlsafe_b64encode(self._seal(stanza.from_, text) + text).decode()
        return request.replace(id=f"{privileged_entity.ANSWERS}{stanza.from_}/{sealed}")

    def answered(self, answer: Stanza) -> Stanza | None:
        """What a component is told of an answer to such a request; None when that is none of ours, or comes from somebody else."""
        component, _, sealed = answer.id.removeprefix(privileged_entity.ANSWERS).partition("/")
        try:
            data = urlsafe_b64decode(sealed)
            seal, text = data[:_SEAL], data[_SEAL:]
            if not self.secret or not hmac.compare_digest(seal, self._seal(component, text)):
                return None
            user, asked, id, inner = json.loads(text)
        except ValueError:
            return None
        if answer.to != component or (answer.from_ or user) != asked:
            return None
        return privileged_entity.answered(answer.replace(to=user), component, id, inner)

    def _seal(self, component: str, text: bytes) -> bytes:
        return hmac.digest(self.secret, component.encode() + b"\0" + text, "sha256")[:_SEAL]

    def _granted(self, stanza: Stanza) -> tuple[str, Grants]:
        """Of the component itself, not of one of its addresses. Raises StanzaError."""
        found = self._grants.get(stanza.from_)
        if found is None:
            raise StanzaError("forbidden")
        return found
