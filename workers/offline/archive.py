"""Archives of accounts: whose they are, and what is to be archived (XEP-0441). Each function is a unit of work."""

from __future__ import annotations

from typing import Final

from rookery.shared.db.api import FENCE, Connection, Fenced
from rookery.shared.store.owners import Owner
from rookery.shared.xeps import archive_preferences
from rookery.shared.xeps.archive_preferences import Default, Preferences
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.jid import Jid
from rookery.shared.xmpp.stanza import Stanza

_ACCOUNT: Final = "SELECT id FROM account WHERE domain = $1 AND localpart = $2"
_PREFERENCES: Final = "SELECT fallback, always, never FROM archive_preference WHERE account_id = $1"
_POLICY: Final = "SELECT policy ->> 'durability' FROM domain WHERE name = $1"
_PREFER: Final = f"""{FENCE},
new AS (
    INSERT INTO archive_preference (account_id, fallback, always, never)
    SELECT $2, $3, $4::text[], $5::text[] FROM fence_ok
    ON CONFLICT (account_id) DO UPDATE SET fallback = $3, always = $4::text[], never = $5::text[]
)
SELECT EXISTS (SELECT FROM fence_ok)"""  # noqa: S608  constants only


async def owner_of(conn: Connection, account: Jid) -> Owner:
    """The account as the owner of its archive. Raises StanzaError."""
    found: int | None = await conn.fetchval(_ACCOUNT, account.domain, account.local)
    if found is None:
        raise StanzaError("item-not-found")
    return Owner(found, account.bare)


async def preferences(conn: Connection, account: Jid, default: Default, durability: str) -> Preferences:
    """What the account has chosen, or what happens otherwise: the configured `default`; where that is "auto", by the durability of the
    domain, or the configured one. Raises StanzaError.
    """
    owner = await owner_of(conn, account)
    row = await conn.fetchrow(_PREFERENCES, owner.id)
    if row is not None:
        return Preferences(row["fallback"], frozenset(row["always"]), frozenset(row["never"]))
    if default != "auto":
        return Preferences(default)
    policy = await conn.fetchval(_POLICY, account.domain)
    said = policy if policy in ("durable", "relaxed") else durability
    return Preferences("never" if said == "relaxed" else "always")


async def prefer(conn: Connection, incarnation: str, account: Jid, chosen: Preferences) -> None:
    """Store preferences. Raises StanzaError, Fenced."""
    owner = await owner_of(conn, account)
    lists = sorted(chosen.always), sorted(chosen.never)
    if not await conn.fetchval(_PREFER, incarnation, owner.id, chosen.fallback, *lists):
        raise Fenced(incarnation)


def preferences_result(iq: Stanza, chosen: Preferences) -> Stanza:
    """The answer that tells them."""
    return iq.result(archive_preferences.element(chosen))
