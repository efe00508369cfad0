"""Archive queries, metadata and preferences of accounts (XEP-0313, XEP-0059, XEP-0441): what a client asked, in one unit of work each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from rookery.shared.db.api import FENCE, Connection, Fenced
from rookery.shared.store import archive
from rookery.shared.store.archive import Filter
from rookery.shared.store.ids import Seal
from rookery.shared.xeps import archive_preferences, message_archive
from rookery.shared.xeps.archive_preferences import Default, Preferences
from rookery.shared.xeps.message_archive import Query, Result
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.jid import Jid
from rookery.shared.xmpp.stanza import Stanza

#: Stanzas of one page: they travel as one item of the bus, with their wrapping.
MAX_BYTES: Final = 196_608
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


class Answer(NamedTuple):
    """A page as it is sent: the results in order of sending, then the result of the iq."""

    results: Sequence[Stanza]
    end: Stanza


async def account_id(conn: Connection, account: Jid) -> int:
    """The account's number. Raises StanzaError."""
    found: int | None = await conn.fetchval(_ACCOUNT, account.domain, account.local)
    if found is None:
        raise StanzaError("item-not-found")
    return found


def _opened(seal: Seal, account: int, text: str) -> int:
    id = seal.open(account, text)
    if id is None:
        raise StanzaError("item-not-found", "no such message in the archive")
    return id


def _filter(seal: Seal, number: int, account: Jid, query: Query) -> Filter:
    after = max((_opened(seal, number, text) for text in (query.after_id, query.after) if text), default=0)
    before = min(
        (_opened(seal, number, text) for text in (query.before_id, query.before) if text), default=1 << 62
    )
    ids = None if query.ids is None else [_opened(seal, number, text) for text in query.ids]
    peer, exact = "", ""
    if query.with_:
        with_ = Jid.trusted(query.with_)
        peer = with_.bare
        # What the account sent to itself is found by its own address, whatever the resources (section 4.1.1).
        exact = "" if with_.resource is None or peer == account.bare else with_.full
    return Filter(after, before, query.start, query.end, peer, exact, ids)


async def answer(conn: Connection, seal: Seal, account: Jid, iq: Stanza, query: Query) -> Answer:
    """Answer a query. Raises StanzaError."""
    number = await account_id(conn, account)
    named = {_opened(seal, number, text) for text in query.named}
    if not await archive.has_all(conn, number, named):
        raise StanzaError("item-not-found", "no such message in the archive")
    wanted = _filter(seal, number, account, query)
    if query.max == 0:
        count = await archive.count(conn, number, wanted, exact=True)
        return Answer((), message_archive.fin(iq, (), complete=not count, count=count, index=None))
    first = not query.after and not query.before
    backwards = query.before is not None and not query.after and query.place is None
    page = await archive.read_page(
        conn,
        number,
        wanted,
        max_rows=query.max,
        max_bytes=MAX_BYTES,
        backwards=backwards,
        offset=query.place or 0,
    )
    count = await archive.count(conn, number, wanted, exact=False) if first else None
    index = query.place if query.place is not None else 0
    if backwards and count is not None:
        index = max(0, count - len(page.rows))
    rows = [Result(seal.seal(number, row.id), row.stamp, row.stanza) for row in page.rows]
    sent = reversed(rows) if query.flip else rows
    return Answer(
        [message_archive.result(query.id, one, account.bare, iq.from_) for one in sent],
        message_archive.fin(
            iq, rows, complete=page.complete, count=count, index=None if count is None else index
        ),
    )


async def metadata(conn: Connection, seal: Seal, account: Jid, iq: Stanza) -> Stanza:
    """The ends of the archive. Raises StanzaError."""
    number = await account_id(conn, account)
    found = await archive.ends(conn, number)
    return message_archive.metadata(iq, [(seal.seal(number, id), at) for id, at in found])


async def preferences(conn: Connection, account: Jid, default: Default, durability: str) -> Preferences:
    """What the account has chosen, or what happens otherwise: the configured `default`; where that is "auto", by the durability of the
    domain, or the configured one. Raises StanzaError.
    """
    number = await account_id(conn, account)
    row = await conn.fetchrow(_PREFERENCES, number)
    if row is not None:
        return Preferences(row["fallback"], frozenset(row["always"]), frozenset(row["never"]))
    if default != "auto":
        return Preferences(default)
    policy = await conn.fetchval(_POLICY, account.domain)
    said = policy if policy in ("durable", "relaxed") else durability
    return Preferences("never" if said == "relaxed" else "always")


async def prefer(conn: Connection, incarnation: str, account: Jid, chosen: Preferences) -> None:
    """Store preferences. Raises StanzaError, Fenced."""
    number = await account_id(conn, account)
    lists = sorted(chosen.always), sorted(chosen.never)
    if not await conn.fetchval(_PREFER, incarnation, number, chosen.fallback, *lists):
        raise Fenced(incarnation)


def preferences_result(iq: Stanza, chosen: Preferences) -> Stanza:
    """The answer that tells them."""
    return iq.result(archive_preferences.element(chosen))
