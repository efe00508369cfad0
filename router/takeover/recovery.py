"""What a former holder delivered and perhaps had no time to commit: it is stored before anything new gets an id.

The edges' mirrors and the rows of sleeping sessions say what was delivered and not acknowledged. A sender's edge sends all that was not
accepted again, and for these it is told `Accepted` without another delivery: so their rows must be there, under the ids that
the recipients were told.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from rookery.router.accounts.account import Account
from rookery.router.accounts.kept import Fate, Kept
from rookery.router.accounts.session import Session
from rookery.router.core import Core
from rookery.router.partition import CARBON, Part
from rookery.shared.db.api import Connection, Fenced
from rookery.shared.db.persist import persist
from rookery.shared.store.ids import Seal
from rookery.shared.store.reader import stored_uids
from rookery.shared.store.rows import Row, make_row, offline_eligible
from rookery.shared.store.sql import insert_missing, settle_rows
from rookery.shared.xeps.carbons import unwrap
from rookery.shared.xeps.stanza_ids import prefix, split
from rookery.shared.xmpp.stanza import Stanza

_ACCOUNTS: Final = """
SELECT a.localpart || '@' || a.domain AS bare, a.id
FROM unnest($1::text[], $2::text[]) AS want(localpart, domain)
JOIN account a ON a.domain = want.domain AND a.localpart = want.localpart"""
#: (bare JID, stream, number): a message that some session was given.
_Uid = tuple[str, bytes, int]


class _Place(NamedTuple):
    """Where a delivery is kept."""

    account: Account
    session: Session
    at: int


class _Given(NamedTuple):
    """What may lack its row: what sessions still keep, what they have acknowledged, and carbons of what accounts have sent."""

    found: dict[_Uid, list[_Place]]
    gone: dict[_Uid, Stanza]
    copied: dict[_Uid, Stanza]


async def recover(core: Core, seal: Seal, part: Part, late: Sequence[tuple[bytes, int, Stanza]]) -> None:
    """Store what the sessions of a new partition were given, and note which rows their deliveries have.

    `late` was given to sessions, too, which have acknowledged it: (origin stream, origin n, stanza).
    """
    given = _given(part, late)
    if not any(given):
        return
    settled: set[tuple[str, int]] = set()

    async def work(conn: Connection) -> dict[_Uid, tuple[int, bool]]:
        return await _store(conn, core, seal, part, given, settled)

    try:
        stored = await persist(core.node.db, part.number, work)
    except Fenced:
        core.node.fail("the fence is closed")
        return
    for bare, row in settled:
        # Its accounts are being loaded meanwhile: a page that was read before still has these rows.
        if (account := part.accounts.get(bare)) is not None:
            account.settled = account.settled or set()
            account.settled.add(row)
    for uid, places in given.found.items():
        row, owed = stored.get(uid, (0, False))
        fate = Fate(len(places)) if len(places) > 1 else None
        for place in places:
            kept = place.session.kept
            one = kept[place.at]
            kept[place.at] = one._replace(parcel=one.parcel._replace(row=row, owed=owed, fate=fate))


def _given(part: Part, late: Sequence[tuple[bytes, int, Stanza]]) -> _Given:
    found: dict[_Uid, list[_Place]] = {}
    for place, one in _deliveries(part):
        stanza, uid = one.parcel.stanza, one.parcel.origin
        if uid.stream and stanza.kind in ("message", "") and not uid.stream.startswith(CARBON):
            found.setdefault((place.account.bare, uid.stream, uid.n), []).append(place)
    gone = {
        (stanza.to.partition("/")[0], stream, n): stanza
        for stream, n, stanza in late
        if not stream.startswith(CARBON)
    }
    return _Given(found, gone, _copied(part, late))


async def _store(
    conn: Connection, core: Core, seal: Seal, part: Part, given: _Given, settled: set[tuple[str, int]]
) -> dict[_Uid, tuple[int, bool]]:
    """Store what is missing; (archive id, owed) of what sessions still keep. Adds (bare JID, archive id) of what was owed to `settled`."""
    found, gone, copied = given
    ids = await _numbers(conn, {bare for bare, _, _ in (*found, *gone, *copied)})
    rows = [
        row
        for uid, places in found.items()
        if uid[0] in ids and (row := _row(core, seal, part, ids[uid[0]], uid, places[0])) is not None
    ]
    rows += [
        row
        for uid, stanza in gone.items()
        if uid[0] in ids and uid not in found and (row := _archived(core, seal, ids[uid[0]], uid, stanza))
    ]
    rows += [
        row
        for uid, copy in copied.items()
        if uid[0] in ids and (row := _sent(core, seal, ids[uid[0]], uid, copy))
    ]
    # In the order in which they were to be stored: who reads meanwhile misses nothing.
    rows.sort(key=lambda row: row.id)
    if rows:
        await insert_missing(conn, core.node.incarnation, rows)
    # What waited for a session without a socket is owed; the former holder may not have heard that the client has it.
    stored = await _stored(conn, ids, [uid for uid in gone if uid[0] in ids])
    if owed := [(uid[0], row) for uid, (row, owes) in stored.items() if owes]:
        settled.update(owed)
        await settle_rows(conn, core.node.incarnation, [(ids[bare], row) for bare, row in owed])
    return await _stored(conn, ids, [uid for uid in found if uid[0] in ids])


def _deliveries(part: Part) -> Iterable[tuple[_Place, Kept]]:
    for account in part.accounts.values():
        for session in account.resources.by_resource.values():
            for index, one in enumerate(session.kept):
                yield _Place(account, session, index), one


def _copied(part: Part, late: Sequence[tuple[bytes, int, Stanza]]) -> dict[_Uid, Stanza]:
    """Carbons of what accounts have sent, by the uids of that."""
    given = [(uid.stream, uid.n, stanza) for _, (_, (stanza, uid, *_), _) in _deliveries(part)]
    return {
        (stanza.from_, stream[len(CARBON) :], n): stanza
        for stream, n, stanza in (*given, *late)
        if stream.startswith(CARBON) and stanza.kind
    }


def _row(core: Core, seal: Seal, part: Part, number: int, uid: _Uid, place: _Place) -> Row | None:
    """The row that the former holder meant it to have; None when it needs none, or is not known any more."""
    account, session, at = place
    one = session.kept[at].parcel
    stanza, text = split(one.stanza, account.id_prefix)
    id = seal.open(number, text) if text else one.row or None
    owed = one.owed if one.row else id is None
    relaxed = account.bare.rpartition("@")[2] in core.relaxed
    if id is None and (relaxed or not offline_eligible(stanza)):
        return None
    return make_row(
        number,
        part.ids.next() if id is None else id,
        uid[1],
        uid[2],
        stanza,
        peer=stanza.from_.partition("/")[0],
        outgoing=False,
        archived=bool(text) or not owed,
        owed=owed,
        stamp=one.at,
    )


def _archived(core: Core, seal: Seal, number: int, uid: _Uid, stanza: Stanza) -> Row | None:
    """The row of a message that somebody has acknowledged; None when it was not to be archived: then it needs none any more."""
    original, text = split(stanza, prefix(uid[0]))
    id = seal.open(number, text) if text else None
    if id is None:
        return None
    return make_row(
        number,
        id,
        uid[1],
        uid[2],
        original,
        peer=stanza.from_.partition("/")[0],
        outgoing=False,
        archived=True,
        owed=False,
        stamp=core.clock(),
    )


def _sent(core: Core, seal: Seal, number: int, uid: _Uid, copy: Stanza) -> Row | None:
    """The row of a message that the account has sent, under the id that its other resources were told; None when they were told none."""
    message = unwrap(copy)
    if message is None:
        return None
    original, text = split(message, prefix(uid[0]))
    id = seal.open(number, text) if text else None
    if id is None:
        return None
    return make_row(
        number,
        id,
        uid[1],
        uid[2],
        original,
        peer=original.to.partition("/")[0],
        outgoing=True,
        archived=True,
        owed=False,
        stamp=core.clock(),
    )


async def _numbers(conn: Connection, bares: Iterable[str]) -> dict[str, int]:
    pairs = [bare.rpartition("@") for bare in bares]
    rows = await conn.fetch(_ACCOUNTS, [local for local, _, _ in pairs], [domain for _, _, domain in pairs])
    return {row["bare"]: row["id"] for row in rows}


async def _stored(
    conn: Connection, ids: dict[str, int], uids: Sequence[_Uid]
) -> dict[_Uid, tuple[int, bool]]:
    bares = {number: bare for bare, number in ids.items()}
    found = await stored_uids(conn, [(ids[bare], stream, n) for bare, stream, n in uids])
    return {(bares[number], stream, n): stored for (number, stream, n), stored in found.items()}
