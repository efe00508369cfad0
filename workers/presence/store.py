"""What the presence worker reads of Postgres; it writes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from rookery.shared.db.api import Connection
from rookery.shared.db.groups import contacts, shares
from rookery.shared.db.seeing import opens
from rookery.shared.xmpp.jid import Jid
from rookery.workers.presence.rules import Relation

_LOAD: Final = f"""
SELECT
    ARRAY(SELECT contact FROM roster_item WHERE account_id = a.id AND sub_from UNION {contacts("a.id")}) AS seen_by,
    ARRAY(SELECT contact FROM roster_item WHERE account_id = a.id AND sub_to UNION {contacts("a.id")}) AS sees,
    ARRAY(SELECT jid FROM blocked WHERE account_id = a.id) AS blocked
FROM account a WHERE domain = $1 AND localpart = $2"""  # noqa: S608  constants only

#: And the contacts that let it see them: for an account that becomes available.
_LOAD_OPEN: Final = _LOAD.replace(
    " AS blocked",
    f""" AS blocked,
    ARRAY(SELECT i.contact FROM roster_item i WHERE i.account_id = a.id AND i.sub_to
        AND {opens("i.contact", "a.localpart || '@' || a.domain")}) AS open""",  # noqa: S608  constants only
)

# For each pair (account, asker), in order: point look-ups of one statement.
_RELATIONS: Final = f"""
SELECT a.id IS NOT NULL AS found, CASE WHEN r.sub_from THEN true ELSE {shares("a.id", "asked.asker")} END AS seen,
       ARRAY(SELECT jid FROM blocked WHERE account_id = a.id) AS blocked
FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS asked (domain, localpart, asker, n)
LEFT JOIN account a ON a.domain = asked.domain AND a.localpart = asked.localpart
LEFT JOIN roster_item r ON r.account_id = a.id AND r.contact = asked.asker
ORDER BY asked.n"""  # noqa: S608  constants only


#: Contacts of one page of `seen_contacts`.
PAGE: Final = 500
_SEEN_CONTACTS: Final = """
SELECT r.contact, min(a.localpart) AS localpart FROM roster_item r JOIN account a ON a.id = r.account_id
WHERE a.domain = $1 AND r.sub_to AND r.contact > $2 GROUP BY r.contact ORDER BY r.contact LIMIT $3"""


class Loaded(NamedTuple):
    """Bare JIDs of contacts, the block list, and the contacts that let the account see them, if that was asked for."""

    seen_by: Sequence[str]
    sees: Sequence[str]
    blocked: Sequence[str]
    open: Sequence[str] = ()


async def load(conn: Connection, account: str, opened: bool = False) -> Loaded | None:
    """The subscriptions and the block list of an account, in one statement; None when there is no such account."""
    jid = Jid.trusted(account)
    row = await conn.fetchrow(_LOAD_OPEN if opened else _LOAD, jid.domain, jid.local or "")
    if row is None:
        return None
    return Loaded(row["seen_by"], row["sees"], row["blocked"], row["open"] if opened else ())


async def relations(conn: Connection, pairs: Sequence[tuple[str, str]]) -> list[Relation]:
    """How each account stands to each asker, (bare JID, bare JID), in one statement."""
    accounts = [Jid.trusted(account) for account, _ in pairs]
    rows = await conn.fetch(
        _RELATIONS,
        [jid.domain for jid in accounts],
        [jid.local or "" for jid in accounts],
        [asker for _, asker in pairs],
    )
    return [Relation(row["found"], row["seen"], frozenset(row["blocked"])) for row in rows]


async def seen_contacts(conn: Connection, domain: str, after: str) -> list[tuple[str, str]]:
    """A page of those whom users of a domain see, in order, each with one user who does: (bare JID, bare JID)."""
    rows = await conn.fetch(_SEEN_CONTACTS, domain, after, PAGE)
    return [(row["contact"], f"{row['localpart']}@{domain}") for row in rows]
