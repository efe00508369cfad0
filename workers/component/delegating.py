"""Requests that are delegated to components (XEP-0355): wrapped for them, and their answers for those who asked.

What a wrapped request is called tells everything of it, sealed with a secret that all processes share: the answer may come to any of them.
"""

from __future__ import annotations

import hmac
import json
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from rookery.shared.bus.messages import Handle, Origin, answering
from rookery.shared.cluster.delegations import of_components
from rookery.shared.cluster.domains import DomainRow
from rookery.shared.db.api import FENCE, Connection, Fenced
from rookery.shared.xeps import namespace_delegation
from rookery.shared.xeps.namespace_delegation import QUESTION, REQUEST, Delegations
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza

_SEAL: Final = 16
_LONGEST_ID: Final = 1024
#: What a component tells of a node, where it is not that already.
_NESTED: Final = f"""{FENCE},
told AS (
    UPDATE domain SET policy = jsonb_set(policy, '{{nested}}', coalesce(policy -> 'nested', '{{}}') || jsonb_build_object($3::text, $4::text))
    FROM fence_ok WHERE name = $2 AND kind = 'component' AND policy #>> ARRAY['nested', $3] IS DISTINCT FROM $4
    RETURNING true
)
SELECT EXISTS (SELECT FROM fence_ok) AS open, EXISTS (SELECT FROM told) AS changed"""  # noqa: S608  constants only


class Told(NamedTuple):
    """What a component says of a node (section 7.2), as its row keeps it."""

    component: str
    node: str
    text: str


class Delegating:
    """The delegations of all components. `secret` is of the cluster, b"" until it is known."""

    def __init__(self) -> None:
        self._delegations: Mapping[str, tuple[str, Delegations]] = {}
        self.secret = b""

    def learn(self, rows: Sequence[DomainRow]) -> None:
        """The hosted domains as they are now."""
        self._delegations = of_components(rows)

    def advertised(self, component: str) -> Stanza | None:
        """What a component is told of its delegations, None without any."""
        found = self._delegations.get(component)
        return None if found is None else namespace_delegation.advertised(found[1], found[0], component)

    def questions(self, component: str) -> list[Stanza]:
        """What a component is asked of the features that it brings."""
        found = self._delegations.get(component)
        if found is None:
            return []
        domain, delegations = found
        return [
            namespace_delegation.question(domain, component, node)
            for node in namespace_delegation.nodes(delegations)
        ]

    # --- a request and its answer ---

    def wrapped(self, item: Handle) -> Stanza:
        """A request as its component gets it. Raises StanzaError."""
        iq, component = item.stanza, item.account
        found = self._delegations.get(component)
        if found is None or not self.secret or len(iq.id) > _LONGEST_ID:
            raise StanzaError("service-unavailable")
        origin = item.origin
        uid = origin.stream.decode("latin-1"), origin.n, origin.deadline
        text = json.dumps([iq.from_, iq.to, iq.id, *uid]).encode()
        sealed = urlsafe_b64encode(self._seal(component, text) + text).decode()
        return namespace_delegation.wrapped(iq, found[0], component, REQUEST + sealed)

    def answered(self, answer: Stanza, component: str) -> tuple[Stanza, Origin] | None:
        """What the asker gets, with the uid of an answer to it; None when it is no answer to a request of ours, or comes too late."""
        try:
            data = urlsafe_b64decode(answer.id.removeprefix(REQUEST))
            seal, text = data[:_SEAL], data[_SEAL:]
            if not self.secret or not hmac.compare_digest(seal, self._seal(component, text)):
                return None
            asker, asked, id, stream, n, deadline = json.loads(text)
        except ValueError:
            return None
        if deadline and time.time() * 1000 > deadline:
            return None  # the edge has answered it
        origin = answering(Origin(stream.encode("latin-1"), n, "", deadline))
        return namespace_delegation.unwrapped(answer, asker, asked, id), origin

    def turned(self, error: Stanza) -> Stanza:
        """An error of our own in place of an answer of the component that is not there (section 4.3, note 1)."""
        if not error.id.startswith(REQUEST):
            return error
        answer = self.answered(error, error.from_)
        return error if answer is None else answer[0]

    def told(self, answer: Stanza) -> Told | None:
        """What an answer to one of our questions says; None when it answers none."""
        found = self._delegations.get(answer.from_)
        node = answer.id.removeprefix(QUESTION)
        if found is None or answer.to != found[0] or node not in namespace_delegation.nodes(found[1]):
            return None
        return Told(answer.from_, node, namespace_delegation.told(answer))

    def _seal(self, component: str, text: bytes) -> bytes:
        return hmac.digest(self.secret, b"delegated\0" + component.encode() + b"\0" + text, "sha256")[:_SEAL]


async def write_nested(conn: Connection, incarnation: str, told: Told) -> bool:
    """A unit of work: whether the row did not say so before. Raises Fenced."""
    record = await conn.fetchrow(_NESTED, incarnation, told.component, told.node, told.text)
    if not record["open"]:
        raise Fenced(incarnation)
    return bool(record["changed"])
