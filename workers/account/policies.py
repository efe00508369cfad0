"""What the operator says about a hosted domain: registration, durability, days of archives, administrators, contact addresses (XEP-0157), rooms."""

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
    """What is to change. None leaves a setting as it is; "" or 0 takes a policy back, and so does a contact without addresses.

    `admins` are prepared bare JIDs; they take the place of those that there were.
    Of a service of rooms: `room_creation` as in `DomainRow.creation`. Of a domain of accounts: `auth` says who keeps the passwords
    (`workers.account.logins.settings`), {} takes it back.
    `joining` says more of registration: "approval" where an operator lets each new user in, "nobody" where invitations are no good, either.
    `motd` and `welcome` are the texts of XEP-0133 sections 4.24 and 4.27. `federation` has what changes of `mode`, `allow` and `block`; one that is
    empty is taken back, and {} takes all of it back.
    """

    registration: bool | None = None
    durability: str | None = None
    contacts: Mapping[str, Sequence[str]] = {}
    room_creation: str | None = None
    admins: Sequence[str] | None = None
    auth: Mapping[str, Any] | None = None
    motd: str | None = None
    welcome: str | None = None
    federation: Mapping[str, Any] | None = None
    archive_days: int | None = None
    joining: str | None = None
    #: What people who make accounts are asked (`challenges.settings`); {} for nothing.
    captcha: Mapping[str, Any] | None = None


class Policy(NamedTuple):
    """A domain as it is set; `durability` "" and `archive_days` 0 are what the configuration says, `admins` may administrate it (XEP-0133).

    `motd` is what each user is told once, `welcome` what new users are told; "" for nothing.
    """

    name: str
    kind: str
    registration: bool
    durability: str
    contacts: Mapping[str, Sequence[str]]
    room_creation: str = ""
    admins: Sequence[str] = ()
    auth: Mapping[str, Any] = {}
    motd: str = ""
    welcome: str = ""
    federation: Mapping[str, Any] = {}
    archive_days: int = 0
    joining: str = ""
    captcha: Mapping[str, Any] = {}

    def document(self) -> dict[str, Any]:
        """As JSON shows it."""
        return {
            "name": self.name,
            "kind": self.kind,
            "registration": self.registration,
            "durability": self.durability or None,
            "archive_days": self.archive_days or None,
            "contacts": {field: list(uris) for field, uris in self.contacts.items()},
            "admins": list(self.admins),
            **({"auth": dict(self.auth)} if self.auth else {}),
            **({"joining": self.joining} if self.joining else {}),
            **({"captcha": dict(self.captcha)} if self.captcha else {}),
            **({"motd": self.motd} if self.motd else {}),
            **({"welcome": self.welcome} if self.welcome else {}),
            **({"federation": dict(self.federation)} if self.federation else {}),
            **({"room_creation": self.room_creation or None} if self.kind == "rooms" else {}),
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
        said = {
            "durability": changes.durability,
            "archive_days": changes.archive_days,
            "room_creation": changes.room_creation,
            "joining": changes.joining,
            "captcha": changes.captcha,
            "motd": changes.motd,
            "welcome": changes.welcome,
            "admins": None if changes.admins is None else sorted(set(changes.admins)),
            "auth": changes.auth,
            "federation": _federation(policy, changes.federation),
        }
        for setting, value in said.items():
            if value:
                policy[setting] = value
            elif value is not None:
                policy.pop(setting, None)
        contacts = {
            **policy.get("contacts", {}),
            **{field: list(uris) for field, uris in changes.contacts.items()},
        }
        policy["contacts"] = {field: uris for field, uris in contacts.items() if uris}
        registration = row["registration"] if changes.registration is None else changes.registration
        if policy.get("joining") not in (None, "approval" if registration else "nobody"):
            del policy["joining"]  # it says more of the other
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
        policy.get("room_creation", ""),
        admins_of(policy),
        policy.get("auth", {}),
        policy.get("motd", ""),
        policy.get("welcome", ""),
        policy.get("federation", {}),
        policy.get("archive_days", 0),
        policy.get("joining", ""),
        policy.get("captcha", {}),
    )


def _federation(policy: Mapping[str, Any], said: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    if not said:
        return said
    before = policy.get("federation")
    merged = {**(before if isinstance(before, dict) else {}), **said}
    return {name: value for name, value in merged.items() if value}


def admins_of(policy: Mapping[str, Any]) -> tuple[str, ...]:
    """The bare JIDs that may administrate a domain with this policy."""
    said = policy.get("admins")
    return tuple(str(jid) for jid in said) if isinstance(said, list) else ()
