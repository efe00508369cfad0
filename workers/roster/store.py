"""Rosters in Postgres. Every write is one fenced statement that also bumps the roster version.

Each function is a unit of work on one connection. A change remembers the uid of the stanza that made it and the state that
it met, so the repetition of a stanza has the same effects once more and never others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from rookery.shared.bus.messages import EditRoster, RosterRead
from rookery.shared.db.api import FENCE, Connection, Fenced
from rookery.shared.db.seeing import opens, seeing
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.jid import Jid
from rookery.workers.roster import shared
from rookery.workers.roster.roster import (
    MAX_DELTA,
    Edit,
    Item,
    marked,
    parse_version,
    split_version,
    version,
)
from rookery.workers.roster.subscription import NONE, State, Step, step

#: Removed items that roster versioning remembers; an older client gets the whole roster.
TOMBSTONES: Final = 500
#: How often a change that lost a race with another writer of the row (account removal) is tried again.
_TRIES: Final = 5

_COLUMNS: Final = "contact, name, groups, sub_to, sub_from, pending_out, pending_in, approved, listed, ver, last_uid, last_state"
_ACCOUNT: Final = f"""SELECT id, roster_ver, roster_floor, {shared.GROUPED} AS grouped FROM account
WHERE domain = $1 AND localpart = $2"""  # noqa: S608
#: And what the presence worker reads of an account.
_ACCOUNT_READ: Final = _ACCOUNT.replace(" AS grouped", f" AS grouped, {seeing('account')}")
_ITEM: Final = f"SELECT {_COLUMNS} FROM roster_item WHERE account_id = $1 AND contact = $2"  # noqa: S608
#: The account has a row even when its roster is empty; items and version are of one snapshot. Who only asks is not listed.
_WHOLE: Final = f"""SELECT a.id, a.roster_ver, a.grouped, {_COLUMNS},
    EXISTS (SELECT FROM roster_item p WHERE p.account_id = a.id AND p.pending_in IS NOT NULL) AS asked
FROM (SELECT id, roster_ver, domain, localpart, {shared.GROUPED} AS grouped FROM account) a
LEFT JOIN roster_item i ON i.account_id = a.id AND i.listed
WHERE a.domain = $1 AND a.localpart = $2 ORDER BY contact"""  # noqa: S608
#: And what the presence worker reads of an account: the block list once.
_WHOLE_READ: Final = _WHOLE.replace(
    " AS asked",
    f""" AS asked,
    i.sub_to AND {opens("i.contact", "a.localpart || '@' || a.domain")} AS open,
    CASE WHEN row_number() OVER () = 1 THEN ARRAY(SELECT jid FROM blocked WHERE account_id = a.id) END AS blocked""",  # noqa: S608  constants only
)
_DELTA: Final = f"SELECT {_COLUMNS} FROM roster_item WHERE account_id = $1 AND ver > $2 ORDER BY ver LIMIT $3"  # noqa: S608
_WRITE: Final = f"""{FENCE},
bumped AS (
    UPDATE account SET roster_ver = roster_ver + $13 WHERE id = $2 AND EXISTS (SELECT FROM fence_ok)
    RETURNING roster_ver
)
INSERT INTO roster_item AS r (account_id, {_COLUMNS})
SELECT $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, CASE WHEN $13 > 0 THEN roster_ver ELSE $12 END, $14, $15
FROM bumped
ON CONFLICT (account_id, contact) DO UPDATE SET
    name = EXCLUDED.name, groups = EXCLUDED.groups, sub_to = EXCLUDED.sub_to, sub_from = EXCLUDED.sub_from,
    pending_out = EXCLUDED.pending_out, pending_in = EXCLUDED.pending_in, approved = EXCLUDED.approved,
    listed = EXCLUDED.listed, ver = EXCLUDED.ver, last_uid = EXCLUDED.last_uid, last_state = EXCLUDED.last_state
WHERE r.ver = $12 AND r.last_uid IS NOT DISTINCT FROM $16
    AND r.sub_to::int + r.sub_from::int * 2 + r.pending_out::int * 4 + (r.pending_in IS NOT NULL)::int * 8
        + r.approved::int * 16 = $17
RETURNING ver"""  # noqa: S608
_PRUNE: Final = f"""{FENCE},
cut AS (
    SELECT ver FROM roster_item WHERE account_id = $2 AND NOT listed ORDER BY ver DESC OFFSET $3 LIMIT 1
),
gone AS (
    DELETE FROM roster_item r USING cut, fence_ok
    WHERE r.account_id = $2 AND NOT r.listed AND r.pending_in IS NULL AND r.ver <= cut.ver
)
UPDATE account SET roster_floor = greatest(roster_floor, cut.ver) FROM cut, fence_ok WHERE id = $2"""  # noqa: S608


class Changed(NamedTuple):
    """A committed change: the item as it is now, and what has to be sent. `repeated`: it had been committed before."""

    account_id: int
    item: Item
    step: Step
    repeated: bool


class Edited(NamedTuple):
    """A committed roster set: the item, and the state that a removal ended."""

    account_id: int
    item: Item
    before: State
    #: The contact shares a group with the account: it stays, whatever was asked.
    stays: bool = False


class Roster(NamedTuple):
    """What a roster get answers: all items when `full`, else those that changed after the client's version.

    `quiet`: nobody waits for an answer to a request of presence (RFC 6121 section 3.1.3), as far as was read. `read` is for the presence worker,
    if that was asked for, and the account is in no group.
    """

    account_id: int
    ver: str
    full: bool
    items: Sequence[Item]
    quiet: bool = False
    read: RosterRead | None = None


class _Row(NamedTuple):
    item: Item
    pending_in: bytes | None
    last_uid: bytes | None
    last_state: int | None


def _row(record: Any, contact: str) -> _Row:
    if record is None:
        return _Row(Item(contact, listed=False), None, None, None)
    state = State(
        record["sub_to"],
        record["sub_from"],
        record["pending_out"],
        record["pending_in"] is not None,
        record["approved"],
    )
    item = Item(
        record["contact"], record["name"], tuple(record["groups"]), state, record["listed"], record["ver"]
    )
    return _Row(item, record["pending_in"], record["last_uid"], record["last_state"])


async def _account(conn: Connection, account: str, read: bool = False) -> Any:
    jid = Jid.trusted(account)
    return await conn.fetchrow(_ACCOUNT_READ if read else _ACCOUNT, jid.domain, jid.local or "")


async def _write(
    conn: Connection, incarnation: str, account_id: int, old: _Row, new: _Row, *, visible: bool
) -> Item | None:
    """Write `new` over `old`; None when the row is not `old` any more, or the account is gone. Raises Fenced."""
    item = new.item
    ver = await conn.fetchval(
        _WRITE,
        incarnation,
        account_id,
        item.contact,
        item.name,
        list(item.groups),
        item.state.to,
        item.state.from_,
        item.state.out,
        new.pending_in,
        item.state.approved,
        item.listed,
        old.item.ver,
        int(visible),
        new.last_uid,
        new.last_state,
        old.last_uid,
        old.item.state.code(),
    )
    if ver is not None:
        return item._replace(ver=ver)
    if await conn.fetchval("SELECT 1 FROM fence WHERE incarnation = $1 AND open", incarnation) is None:
        raise Fenced(incarnation)
    return None


async def _room(conn: Connection, incarnation: str, account_id: int, limit: int, *, listed: bool) -> bool:
    """Whether the roster may grow. Requests that are not answered count apart from the items that are seen."""
    count = "SELECT count(*) FROM roster_item WHERE account_id = $1 AND listed = $2"
    if await conn.fetchval(count, account_id, listed) < limit:
        return True
    if listed:
        return False
    await conn.execute(_PRUNE, incarnation, account_id, 0)
    return bool(await conn.fetchval(count, account_id, listed) < limit)


async def get(conn: Connection, account: str, ver: str | None, read: bool = False) -> Roster | None:
    """The roster, or what changed since `ver` (RFC 6121 section 2.6); None when there is no such account. `read`: tell the presence worker's part, too."""
    if ver:
        changed = await _changed(conn, account, ver, read)
        if changed is not None:
            return changed
    jid = Jid.trusted(account)
    records = await conn.fetch(_WHOLE_READ if read else _WHOLE, jid.domain, jid.local or "")
    if not records:
        return None
    account_id, current = records[0]["id"], records[0]["roster_ver"]
    items = [_row(record, "").item for record in records if record["contact"] is not None]
    quiet = not records[0]["asked"]
    grouped = records[0]["grouped"]
    seen = await shared.seen(conn, account_id) if grouped else shared.NOBODY
    ver = marked(version(account_id, current), seen.mark)
    told = _read(account, records) if read and not grouped else None
    return Roster(account_id, ver, True, seen.among(items), quiet, told)


def _read(account: str, records: Sequence[Any]) -> RosterRead:
    return RosterRead(
        account,
        [record["contact"] for record in records if record["sub_from"]],
        [record["contact"] for record in records if record["sub_to"]],
        next((record["blocked"] for record in records if record["blocked"] is not None), ()),
        [record["contact"] for record in records if record["open"]],
    )


async def _changed(conn: Connection, account: str, ver: str, read: bool) -> Roster | None:
    """What changed since `ver`; None when the whole roster is to be told."""
    row = await _account(conn, account, read)
    if row is None:
        return None
    account_id, current = row["id"], row["roster_ver"]
    ver, mark = split_version(ver)
    known = parse_version(ver, account_id)
    if known is None or not row["roster_floor"] <= known <= current:
        return None
    seen = await shared.seen(conn, account_id) if row["grouped"] else shared.NOBODY
    if mark != seen.mark:
        return None
    now = marked(version(account_id, current), mark)
    told = None
    if read and not row["grouped"]:
        told = RosterRead(account, row["seen_by"], row["sees"], row["blocked"], row["open"])
    if known == current:
        return Roster(account_id, now, False, [], read=told)
    records = await conn.fetch(_DELTA, account_id, known, MAX_DELTA + 1)
    if len(records) > MAX_DELTA:
        return None
    return Roster(account_id, now, False, [seen.of(_row(record, "").item) for record in records], read=told)


async def edit(
    conn: Connection, incarnation: str, account: str, change: Edit, uid: bytes, limit: int
) -> Edited:
    """Commit a roster set (sections 2.3 to 2.5). Raises StanzaError, Fenced."""
    for _ in range(_TRIES):
        row = await _account(conn, account)
        if row is None:
            raise StanzaError("item-not-found")
        account_id = row["id"]
        old = _row(await conn.fetchrow(_ITEM, account_id, change.contact), change.contact)
        through = await shared.labels(conn, row, change.contact)
        if change.remove:
            if through.shared:
                return Edited(account_id, through.of(old.item), old.item.state, True)
            if uid and old.last_uid == uid and not old.item.listed:
                return Edited(account_id, through.of(old.item), State.decode(old.last_state or 0))
            if not old.item.listed:
                raise StanzaError("item-not-found")
            item = Item(change.contact, state=NONE._replace(in_=old.item.state.in_), listed=False)
        else:
            if not old.item.listed and not await _room(conn, incarnation, account_id, limit, listed=True):
                raise StanzaError("resource-constraint", "the roster is full")
            # A client sends back what it sees: the labels of shared groups are not the account's own.
            own = tuple(group for group in change.groups if group not in through.shared)
            item = old.item._replace(name=change.name, groups=own, listed=True)
        new = _Row(item, old.pending_in, uid, old.item.state.code())
        written = await _write(conn, incarnation, account_id, old, new, visible=True)
        if written is not None:
            if change.remove and written.ver % 32 == 0:
                await conn.execute(_PRUNE, incarnation, account_id, TOMBSTONES)
            return Edited(account_id, through.of(written), old.item.state)
    raise StanzaError("internal-server-error")


async def place(conn: Connection, incarnation: str, request: EditRoster, limit: int) -> tuple[int, Item]:
    """Write what an operator says of a contact; returns (account id, item). Raises StanzaError, Fenced.

    A subscription takes the place of the state that there was, and of a request that was open.
    """
    said, contact = request.subscription, request.contact
    for _ in range(_TRIES):
        row = await _account(conn, request.account)
        if row is None:
            raise StanzaError("item-not-found")
        old = _row(await conn.fetchrow(_ITEM, row["id"], contact), contact)
        state = State(said in ("to", "both"), said in ("from", "both")) if said else old.item.state
        if said == "remove" and not old.item.listed:
            raise StanzaError("item-not-found")
        if not old.item.listed and not await _room(conn, incarnation, row["id"], limit, listed=True):
            raise StanzaError("resource-constraint", "the roster is full")
        if said == "remove":
            item = Item(contact, listed=False)
        else:
            item = old.item._replace(
                name=request.name, groups=tuple(request.groups), state=state, listed=True
            )
        new = _Row(item, old.pending_in if item.state.in_ else None, None, None)
        if (written := await _write(conn, incarnation, row["id"], old, new, visible=True)) is not None:
            return row["id"], (await shared.labels(conn, row, contact)).of(written)
    raise StanzaError("internal-server-error")


async def subscription(
    conn: Connection,
    incarnation: str,
    account: str,
    contact: str,
    outbound: bool,
    type: str,
    uid: bytes,
    pending: bytes,
    limit: int,
) -> Changed | None:
    """Commit one subscription stanza; `pending` is kept while a request of the contact is open.

    None when there is no such account, or no room for one more contact. Raises Fenced.
    """
    for _ in range(_TRIES):
        row = await _account(conn, account)
        if row is None:
            return None
        account_id = row["id"]
        old = _row(await conn.fetchrow(_ITEM, account_id, contact), contact)
        through = await shared.labels(conn, row, contact)
        if through.shared and shared.settled(old.item.state, outbound, type):
            return Changed(account_id, through.of(old.item), Step(old.item.state, False, outbound), True)
        if uid and old.last_uid == uid:
            met = step(State.decode(old.last_state or 0), outbound, type)
            return Changed(account_id, through.of(old.item), met, True)
        done = step(old.item.state, outbound, type)
        if done.new == old.item.state:
            return Changed(account_id, through.of(old.item), done, False)
        listed = old.item.listed or any(done.new.visible)
        grows = listed != old.item.listed or (done.new.in_ and not old.item.listed)
        if grows and not await _room(conn, incarnation, account_id, limit, listed=listed):
            return None
        keep = (old.pending_in or pending) if done.new.in_ else None
        new = _Row(old.item._replace(state=done.new, listed=listed), keep, uid or None, old.item.state.code())
        written = await _write(conn, incarnation, account_id, old, new, visible=done.push)
        if written is not None:
            return Changed(account_id, through.of(written), done, False)
    return None


async def pending(conn: Connection, account: str) -> list[bytes]:
    """The requests that the account has not answered, packed as they came (section 3.1.3)."""
    jid = Jid.trusted(account)
    records = await conn.fetch(
        "SELECT r.pending_in FROM roster_item r JOIN account a ON a.id = r.account_id "
        "WHERE a.domain = $1 AND a.localpart = $2 AND r.pending_in IS NOT NULL ORDER BY r.contact",
        jid.domain,
        jid.local or "",
    )
    return [record["pending_in"] for record in records]


async def item(conn: Connection, account: str, contact: str) -> tuple[int, Item] | None:
    """(account id, roster item) as committed; None when there is no such account."""
    row = await _account(conn, account)
    if row is None:
        return None
    found = _row(await conn.fetchrow(_ITEM, row["id"], contact), contact).item
    return row["id"], (await shared.labels(conn, row, contact)).of(found)


_REDEEM: Final = """
UPDATE invitation SET uses = uses - 1 WHERE digest = $1 AND inviter = $2 AND uses > 0 AND expires > now() RETURNING uses"""


async def redeem(conn: Connection, account: str, key: bytes) -> bool:
    """Use an invitation of this account (XEP-0379); False when there is none with this digest. A repetition asks in vain: then a person answers."""
    return await conn.fetchval(_REDEEM, key, account) is not None
