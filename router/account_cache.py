"""Which accounts exist, whom they block and what offline delivery owes them: a cache in front of Postgres.

Accounts are loaded together: one statement for all that one partition waits for. Items for an account that is loading wait in order.
Accounts with sessions stay; others leave when they were not touched between two sweeps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import structlog
import trio

from rookery.router import unclear
from rookery.router.accounts.account import MAX_WAITING, NEGATIVE_SECONDS, Account
from rookery.router.core import Core
from rookery.router.partition import Part
from rookery.shared.bus.api import Call
from rookery.shared.bus.messages import Origin, Route
from rookery.shared.db.api import Connection, DatabaseUnavailable, Fenced
from rookery.shared.db.groups import contacts
from rookery.shared.store.reader import uids_had
from rookery.shared.xeps import archive_preferences
from rookery.shared.xeps.archive_preferences import Default, Preferences
from rookery.shared.xeps.avatar_conversion import announced
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza

_log = structlog.get_logger()

#: Accounts in one statement.
BATCH: Final = 200
#: Partitions loading side by side; a login storm must leave connections for the writers.
LOADERS: Final = 3
#: Accounts without sessions that a partition keeps between sweeps.
KEEP: Final = 4096

LOAD: Final = f"""
SELECT a.localpart, a.domain, a.id, a.disabled,
       ARRAY(SELECT b.jid FROM blocked b WHERE b.account_id = a.id) AS blocked,
       p.fallback, p.always, p.never,
       CASE WHEN coalesce(p.fallback, $3::text) = 'roster' THEN
           ARRAY(SELECT r.contact FROM roster_item r WHERE r.account_id = a.id AND r.listed UNION {contacts("a.id")})
       END AS contacts,
       ARRAY(SELECT u.resource FROM push u WHERE u.account_id = a.id) AS pushes,
       o.n, o.bytes, m.metadata, m.config
FROM unnest($1::text[], $2::text[]) AS want(localpart, domain)
JOIN account a ON a.domain = want.domain AND a.localpart = want.localpart
LEFT JOIN archive_preference p ON p.account_id = a.id
CROSS JOIN LATERAL (
    SELECT count(*) AS n, coalesce(sum(size), 0)::bigint AS bytes FROM (
        SELECT length(d.stanza) AS size FROM owed d WHERE d.owner_id = a.id UNION ALL
        SELECT length(m.stanza) FROM message m WHERE m.account_id = a.id AND m.owed
    ) AS debts
) AS o
LEFT JOIN LATERAL (
    SELECT i.payload AS metadata, n.config FROM pubsub_node n JOIN pubsub_item i ON i.node_id = n.id
    WHERE n.owner = a.localpart || '@' || a.domain AND n.name = 'urn:xmpp:avatar:metadata' ORDER BY i.n DESC LIMIT 1
) AS m ON true
"""  # noqa: S608  constants only

Row = tuple[int, bool, frozenset[str] | None, int, int, Preferences | None, str, frozenset[str] | None]
#: Accounts, the uids that were looked up for them, and those of them that need no other delivery.
_Read = tuple[dict[str, Row], frozenset[tuple[bytes, int]], list[tuple[bytes, int]]]
#: What happens in a relaxed domain until a user asks for an archive.
NOTHING: Final = Preferences("never")


async def load(conn: Connection, bares: Sequence[str], default: Default) -> dict[str, Row]:
    """bare JID -> (id, disabled, block list, owed messages, their bytes, archiving, hash of the avatar,
    resources that are notified), for those that exist.

    `default` is what is archived of accounts that chose nothing; archiving is None when that is "auto".
    """
    pairs = [bare.rpartition("@") for bare in bares]
    rows = await conn.fetch(
        LOAD, [local for local, _, _ in pairs], [domain for _, _, domain in pairs], default
    )
    return {
        f"{row['localpart']}@{row['domain']}": (
            row["id"],
            row["disabled"],
            frozenset(row["blocked"]) or None,
            row["n"],
            row["bytes"],
            _preferences(row, default),
            announced(row["metadata"], row["config"]),
            frozenset(row["pushes"]) or None,
        )
        for row in rows
    }


def _preferences(row: Any, default: Default) -> Preferences | None:
    fallback = row["fallback"]
    if fallback is None:
        if default == "auto":
            return None
        return Preferences(default, roster=frozenset(row["contacts"] or ()))
    return Preferences(
        fallback, frozenset(row["always"]), frozenset(row["never"]), frozenset(row["contacts"] or ())
    )


class Accounts:
    """Finds, loads and forgets accounts. `guard(part, handler, item)` runs an item that waited."""

    def __init__(self, core: Core, guard: Callable[[Part, Callable[[Part, Any], None], Any], None]) -> None:
        self._core = core
        self._guard = guard
        self._wanted: dict[int, tuple[Part, list[Account]]] = {}
        self._wake = trio.Event()
        #: Uids of messages that were looked up, while what waited for that is handled.
        self._looked_up: frozenset[tuple[bytes, int]] = frozenset()
        self._default = core.node.config.options(archive_preferences.Options).default
        #: Called with an account whose row has changed under its sessions.
        self.on_loaded: Callable[[Part, Account], None] = _ignore

    # --- for handlers ------------------------------------------------------------------------------------------------

    def ready(
        self, part: Part, bare: str, handler: Callable[[Part, Any], None], item: Any, anew: bool = False
    ) -> Account | None:
        """The account; or None when it has to be loaded first: then `handler(part, item)` runs again afterwards.

        `anew`: a client binds, so what is in doubt is owed first (`router.unclear`).
        """
        account = part.accounts.get(bare)
        if account is None:
            account = self.adopt(part, bare)
            account.binds = anew
        elif account.waiting is None:
            if anew:
                account.binds = account.unclear > 0.0
            if (account.id or account.until > self._core.ticks()) and not (
                account.unclear and self._owes(part, account)
            ):
                account.used = True
                return account
            self.reload(part, account)
        waiting = account.waiting
        assert waiting is not None
        if len(waiting) >= MAX_WAITING:
            self._refuse(part, item)
        else:
            waiting.append((handler, item))
        return None

    def looks_up(
        self, part: Part, account: Account, handler: Callable[[Part, Route], None], item: Route
    ) -> bool:
        """Whether a message is looked up in the store first: then `handler` runs again afterwards.

        So are those for a doubtful account (`router.unclear`), and what sessions have acknowledged under a former holder.
        """
        stream, n, custodian, *_ = item.origin
        now = self._core.clock()
        if account.doubtful <= now:
            account.doubtful = 0.0
        if part.since + unclear.AGAIN_SECONDS <= now:
            part.given.clear()
        if not account.doubtful and (stream, n) not in part.given:
            return False
        if not custodian or (stream, n) in self._looked_up or account.waiting is not None:
            return False
        account.waiting = [(handler, item)]
        self._want(part, account)
        return True

    def _owes(self, part: Part, account: Account) -> bool:
        return not unclear.early(part, account, self._core.clock())

    def adopt(self, part: Part, bare: str) -> Account:
        """Begin to know an account: it is loading."""
        account = part.accounts[bare] = Account(bare, self._core.resources())
        account.unclear = unclear.begins(part, self._core.clock())
        self._want(part, account)
        return account

    def reload(self, part: Part, account: Account) -> None:
        """Its row may have changed: what comes now waits until it was read again."""
        if account.waiting is None:
            account.waiting = []
            self._want(part, account)
        else:
            account.stale = True

    def changed(self, part: Part, bare: str) -> Account | None:
        """Committed change of an account: read it again when it is known here, else there is nothing to forget."""
        account = part.accounts.get(bare)
        if account is None:
            return None
        if account.idle:
            del part.accounts[bare]
            return None
        self.reload(part, account)
        return account

    def sweep(self, part: Part) -> None:
        """Forget accounts that nobody needed since the last sweep; above KEEP also those that somebody did."""
        accounts = part.accounts
        surplus = len(accounts) - KEEP
        now = self._core.ticks()
        gone = []
        for bare, account in accounts.items():
            if account.flush is None:
                account.settled = None
            if not account.resources.by_resource:
                account.repeats = None
            if not account.idle:
                continue
            if account.unclear:
                if self._owes(part, account):
                    self.reload(part, account)
                continue
            if not account.used or surplus > 0 or (not account.id and account.until <= now):
                gone.append(bare)
                surplus -= 1
            account.used = False
        for bare in gone:
            del accounts[bare]

    # --- loading -----------------------------------------------------------------------------------------------------

    def _want(self, part: Part, account: Account) -> None:
        entry = self._wanted.get(part.number)
        if entry is None or entry[0] is not part:
            self._wanted[part.number] = (part, [account])
        else:
            entry[1].append(account)
        self._wake.set()

    async def run(self) -> None:
        """Load what is wanted, until cancelled."""
        async with trio.open_nursery() as nursery:
            limit = trio.CapacityLimiter(LOADERS)
            while True:
                await self._wake.wait()
                self._wake = trio.Event()
                wanted, self._wanted = self._wanted, {}
                for part, accounts in wanted.values():
                    for start in range(0, len(accounts), BATCH):
                        await limit.acquire_on_behalf_of(accounts[start])
                        nursery.start_soon(self._load, part, accounts[start : start + BATCH], limit)

    async def _load(self, part: Part, accounts: list[Account], limit: trio.CapacityLimiter) -> None:
        holder = accounts[0]
        now = self._core.clock()
        clear = [account for account in accounts if not unclear.early(part, account, now)]
        try:
            read = await self._read(part, accounts, unclear.doubts(part, clear))
        finally:
            limit.release_on_behalf_of(holder)
        if read is None:
            if part.live:
                for account in accounts:
                    self._unreadable(part, account)
            return
        rows, self._looked_up, had = read
        for stream, n in had:
            part.recent.mark(stream, n, True)
        for account in clear:
            unclear.resolved(account)
        for account in accounts:
            if account.stale:
                account.stale = False
                self._want(part, account)
            else:
                self._loaded(part, account, rows.get(account.bare))
        self._looked_up = frozenset()

    async def _read(self, part: Part, accounts: list[Account], doubted: list[unclear.Doubt]) -> _Read | None:
        bares = [account.bare for account in accounts]

        async def work(conn: Connection) -> _Read:
            if doubted:
                await unclear.owe(conn, self._core.node.incarnation, part, doubted)
            rows = await load(conn, bares, self._default)
            uids = [
                uid
                for account in accounts
                if (account.doubtful or part.given) and account.bare in rows
                for uid in unclear.looked_up(part, account, rows[account.bare][0])
            ]
            had = await uids_had(conn, uids) if uids else []
            return rows, frozenset((stream, n) for _, stream, n, *_ in uids), had

        pause = 0.1
        while part.live:
            try:
                return await self._core.node.db.run(part.number, work, op="router_load")
            except DatabaseUnavailable:
                # What waits stays unaccepted, so the edges keep it; requests have their own time limit there.
                await trio.sleep(pause)
                pause = min(0.5, pause * 2)
            except Fenced:
                self._core.node.fail("the fence is closed")
                return None
            except Exception:
                _log.exception("accounts_unreadable", count=len(bares))
                return None
        return None

    def _unreadable(self, part: Part, account: Account) -> None:
        """Loading failed in a way that trying again does not mend: what waited is answered, the next item tries anew."""
        waiting = account.waiting or []
        account.waiting = None
        if account.idle:
            part.accounts.pop(account.bare, None)
        for _, item in waiting:
            self._guard(part, _fail, item)

    def _loaded(self, part: Part, account: Account, row: Row | None) -> None:
        if row is None:
            account.id = 0
            account.blocked = account.pushes = None
            account.owed = account.owed_bytes = 0
            account.until = self._core.ticks() + NEGATIVE_SECONDS
        else:
            account.id, account.disabled, account.blocked, owed, owed_bytes, preferences = row[:6]
            account.avatar, account.pushes = row[6:]
            account.relaxed = account.bare.rpartition("@")[2] in self._core.relaxed
            account.archiving = preferences or (NOTHING if account.relaxed else None)
            # Rows that are being committed may or may not have been seen: count them, too much rather than too little.
            account.owed, account.owed_bytes = owed + account.puts, owed_bytes
        waiting = account.waiting or []
        account.waiting = None
        if not part.live:
            return
        self.on_loaded(part, account)
        for handler, item in waiting:
            self._guard(part, handler, item)

    def _refuse(self, part: Part, item: Any) -> None:
        """Too much waits for one account: tell the sender to try later."""
        if isinstance(item, Call):
            self._core.bus.reply(item, StanzaError("resource-constraint", "the server is busy"))
            return
        stanza, origin = getattr(item, "stanza", None), getattr(item, "origin", None)
        if isinstance(stanza, Stanza) and isinstance(origin, Origin):
            self._core.bounce(stanza, StanzaError("resource-constraint", "the server is busy"))
            self._core.accept(part, origin)
        self._core.count.dropped += 1


def _fail(part: Part, item: Any) -> None:
    raise StanzaError("internal-server-error")


def _ignore(part: Part, account: Account) -> None:
    pass
