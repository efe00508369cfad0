"""What the operator says about a hosted domain: registration, durability, days of archives, contact addresses (XEP-0157)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from rookery.shared.db.api import Connection

#: The roles of XEP-0157 section 3, and the fields that they stand in.
CONTACTS: Final = {
    role: f"{role}-addresses"
    for role in ("abuse", "admin", "feedback", "sales", "security", "status", "support")
}


class Changes(NamedTuple):
    """What is to change. None leaves a setting as it is; "" or 0 takes a policy back, and so does a contact without addresses."""

    registration: bool | None = None
    durability: str | None = None
    contacts: Mapping[str, Sequence[str]] = {}
    archive_days: int | None = None


class Policy(NamedTuple):
    """A domain as it is set; `durability` "" and `archive_days` 0 are what the configuration says."""

    name: str
    kind: str
    registration: bool
    durability: str
    contacts: Mapping[str, Sequence[str]]
    archive_days: int = 0

    def document(self) -> dict[str, Any]:
        """As JSON shows it."""
        return {
            "name": self.name,
            "kind": self.kind,
            "registration": self.registration,
            "durability": self.durability or None,
            "archive_days": self.archive_days or None,
            "contacts": {field: list(uris) for field, uris in self.contacts.items()},
        }


async def change(conn: Connection, name: str, changes: Changes) -> Policy | None:
    """Change a hosted domain (prepared name) and return it; None when it is not hosted."""
    async with conn.transaction():
        row = await conn.fetchrow(
            "SELECT kind, registration, policy FROM domain WHERE name = $1 FOR UPDATE", name
        )
        if row is None:
            return None
        policy = _loaded(row["policy"])
        if changes.durability is not None:
            policy["durability"] = changes.durability
            if not changes.durability:
                del policy["durability"]
        if changes.archive_days is not None:
            policy["archive_days"] = changes.archive_days
            if not changes.archive_days:
                del policy["archive_days"]
        contacts = {
            **policy.get("contacts", {}),
            **{field: list(uris) for field, uris in changes.contacts.items()},
        }
        policy["contacts"] = {field: uris for field, uris in contacts.items() if uris}
        registration = row["registration"] if changes.registration is None else changes.registration
        await conn.execute(
            "UPDATE domain SET registration = $2, policy = $3::jsonb WHERE name = $1",
            name,
            registration,
            json.dumps(policy),
        )
    return _policy(name, row["kind"], registration, policy)


async def policies(conn: Connection) -> list[Policy]:
    """All hosted domains by name."""
    rows = await conn.fetch("SELECT name, kind, registration, policy FROM domain ORDER BY name")
    return [_policy(row["name"], row["kind"], row["registration"], _loaded(row["policy"])) for row in rows]


def _loaded(policy: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(policy) if isinstance(policy, str) else policy
    return found


def _policy(name: str, kind: str, registration: bool, policy: Mapping[str, Any]) -> Policy:
    return Policy(
        name,
        kind,
        registration,
        policy.get("durability", ""),
        policy.get("contacts", {}),
        policy.get("archive_days", 0),
    )
