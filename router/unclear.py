"""Messages of which nobody knows any more whether a client has them: their router and the edge of their session died together.

Their senders were told that they are accepted, and their rows are committed, but no mirror and no row of a session says who was given
them. A new holder reads the newest rows of such accounts once, when it loads them, and owes them again. A client that had some of
them gets these twice, under the same stanza ids (XEP-0359), and in another session: the copy of a session that goes on says itself from when
on something may lack, and a client that has more than its copy begins anew (`session_outdated`). Their senders may not have been told, and send
them again: for a while what comes for such an account is looked up in the store, and accepted without another delivery when it is owed there, or was stored
before the copy was made by the process that made it: then the copy has it. (What an earlier holder stored may have been lost on its way to the session.)

An edge that was silent may come back with its sessions, and be heard by the holder after this one, where they go on. So for a while nothing is owed to an account of
which no session is known, until one binds: then its client has begun anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

import structlog

from rookery.router.absences import GRACE
from rookery.router.accounts.account import Account
from rookery.router.accounts.resumable import RESOLVED
from rookery.router.partition import Part
from rookery.shared.bus.messages import Route
from rookery.shared.db.api import Connection
from rookery.shared.store.reader import newest_incoming
from rookery.shared.store.rows import offline_eligible, unpack_stanza
from rookery.shared.store.sql import owe_rows

_log = structlog.get_logger()

#: What was stored so long (seconds) before a partition changed hands may still have been unacknowledged by a client that was there.
LOST_SECONDS: Final = 60.0
#: Accounts that are loaded so long (seconds) after that are looked at; later they were offline anyway, or have been looked at.
LOOK_SECONDS: Final = 600.0
#: So long (seconds) after it the senders of such messages may send them again: their edges, or clients that resume.
AGAIN_SECONDS: Final = 120.0


class Doubt(NamedTuple):
    """An account, from when on (Unix seconds) its newest rows may have reached nobody, and the archive ids that are known to be kept."""

    bare: str
    since: float
    known: frozenset[int]


def begins(part: Part, now: float) -> float:
    """From when on (Unix seconds) rows of an account that is loaded `now` are in doubt; 0.0: none are."""
    if part.since and now < part.since + LOOK_SECONDS:
        return part.since - LOST_SECONDS
    return 0.0


def early(part: Part, account: Account, now: float) -> bool:
    """Whether it is too early to owe what is in doubt: sessions of the account may still be somewhere."""
    return (
        account.unclear > 0.0
        and not account.binds
        and not account.resources.by_resource
        and now < part.since + GRACE
    )


def doubts(part: Part, accounts: Iterable[Account]) -> list[Doubt]:
    """Those accounts none of whose sessions is whole: sessions whose edge lives, or has told all it had, lack nothing.

    From now on, for a while, what comes for those that have sessions is looked up.
    """
    found = []
    for account in accounts:
        if not account.unclear:
            continue
        since, known = account.unclear, set(account.settled or ())
        copies: list[tuple[float, int]] = []
        for session in account.resources.by_resource.values():
            resumable = None if session.edge else session.resumable
            copies.append((0.0, 0) if resumable is None else (max(0.0, resumable.copied), resumable.copier))
            known.update(one.parcel.row for one in session.kept)
        if copies:
            # What the older copies lack the newest one has been given, or it begins before that.
            since = max(copies)[0] if all(copied for copied, _ in copies) else 0.0
        if since:
            if copies:
                account.doubtful, account.copied = part.since + AGAIN_SECONDS, max(copies)
            found.append(Doubt(account.bare, since, frozenset(known)))
    return found


def looked_up(part: Part, account: Account, owner: int) -> list[tuple[int, bytes, int, float, int]]:
    """What waits for an account and is looked up: (owner, stream, n) of each message that a custodian keeps, when the copy was made and by the holder
    of which epoch. Of what sessions have acknowledged under a former holder it is enough that it is stored.
    """
    found = []
    for _, item in account.waiting or ():
        if isinstance(item, Route) and item.origin.custodian and item.stanza.kind == "message":
            uid = item.origin.stream, item.origin.n
            if uid in part.given:
                found.append((owner, *uid, 0.0, -1))
            elif account.doubtful:
                found.append((owner, *uid, *account.copied))
    return found


def resolved(account: Account) -> None:
    """What was in doubt is owed."""
    account.unclear, account.binds = 0.0, False
    for session in account.resources.by_resource.values():
        if session.resumable is not None and session.resumable.copied > 0.0:
            session.resumable.copied = RESOLVED


async def owe(conn: Connection, incarnation: str, part: Part, doubted: list[Doubt]) -> None:
    """Owe the rows in doubt. Safe to repeat. Raises Fenced."""
    known = {one.bare: one.known for one in doubted}
    rows = [
        (owner, id)
        for bare, owner, id, stanza in await newest_incoming(
            conn, part.epoch << 40, [(one.bare, one.since) for one in doubted]
        )
        if id not in known[bare] and offline_eligible(unpack_stanza(stanza))
    ]
    if rows:
        _log.warning("messages_unclear", partition=part.number, messages=len(rows))
        await owe_rows(conn, incarnation, rows)
