"""Removal of many accounts together, for the command line: some statements for a batch, and not for each account."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rookery.shared.bus.kinds import Kind
from rookery.shared.db.api import Connection
from rookery.workers.account.store import Gone, empty

_PLACES: Final = {kind.label: kind for kind in (Kind.MUC, Kind.PUBSUB)}

_CLOSE: Final = """
UPDATE account a SET disabled = true FROM unnest($1::text[], $2::text[]) AS w (l, d)
WHERE a.domain = w.d AND a.localpart = w.l RETURNING a.id, a.localpart || '@' || a.domain AS jid"""
# As the removal of one account (`store.delete_account`): others are locked before their roster rows, and in order. Whoever has several of
# the accounts in his roster gets a version for each, so that a client which heard of the first only asks for the rest.
_DELETE: Final = """
WITH hits AS (
    SELECT r.account_id, r.contact, count(*) OVER (PARTITION BY r.account_id) AS n,
        row_number() OVER (PARTITION BY r.account_id ORDER BY r.contact) AS k
    FROM roster_item r WHERE r.contact = ANY ($2::text[]) AND r.account_id <> ALL ($1::bigint[])
), others AS (
    SELECT a.id, a.localpart || '@' || a.domain AS jid FROM account a
    WHERE a.id IN (SELECT account_id FROM hits) ORDER BY a.id FOR UPDATE OF a
), bumped AS (
    UPDATE account a SET roster_ver = a.roster_ver + (SELECT max(n) FROM hits WHERE account_id = a.id)
    FROM others WHERE a.id = others.id RETURNING a.id, a.roster_ver
), cleared AS (
    UPDATE roster_item r SET sub_to = false, sub_from = false, pending_out = false, pending_in = NULL,
        approved = false, last_uid = NULL, last_state = NULL,
        ver = CASE WHEN r.listed THEN bumped.roster_ver - hits.n + hits.k ELSE r.ver END
    FROM bumped JOIN hits ON hits.account_id = bumped.id
    WHERE r.account_id = bumped.id AND r.contact = hits.contact
), gone AS (
    DELETE FROM account WHERE id = ANY ($1::bigint[]) RETURNING id
), unlisted AS (
    DELETE FROM room_affiliation WHERE jid = ANY ($2::text[]) RETURNING room_id, jid
), unaffiliated AS (
    DELETE FROM pubsub_affiliation WHERE jid = ANY ($2::text[]) RETURNING node_id, jid
), unsubscribed AS (
    DELETE FROM pubsub_subscription WHERE bare = ANY ($2::text[]) RETURNING node_id, bare
), uninvited AS (
    DELETE FROM invitation WHERE localpart || '@' || domain = ANY ($2::text[]) AND uses = 0
), disowned AS (
    UPDATE invitation SET inviter = '' WHERE inviter = ANY ($2::text[])
        AND (localpart || '@' || domain = ANY ($2::text[]) AND uses = 0) IS NOT TRUE
), noted AS (
    INSERT INTO erased (account_id) SELECT id FROM gone
)
SELECT hits.contact, others.jid, 'roster' AS kind FROM hits JOIN others ON others.id = hits.account_id
UNION
SELECT u.jid, r.jid, 'muc' FROM unlisted u JOIN room r ON r.id = u.room_id
UNION
SELECT u.jid, n.owner, 'pubsub' FROM (TABLE unaffiliated UNION TABLE unsubscribed) u JOIN pubsub_node n ON n.id = u.node_id
UNION
SELECT a.localpart || '@' || a.domain, s.contact, 'roster' FROM account a JOIN shared_contact s ON s.account_id = a.id
WHERE a.id = ANY ($1::bigint[]) AND s.contact <> ALL ($2::text[])"""


async def delete_accounts(conn: Connection, accounts: Sequence[tuple[str, str]]) -> dict[str, Gone]:
    """Remove accounts (localpart, domain) with every trace, as `store.delete_account` does for one.

    Returns what was there: the JID, and who had it in their lists (they get ContactRemoved). All are closed to logins first and emptied
    in pieces: what was interrupted is only to be repeated.
    """
    names, domains = [name for name, _ in accounts], [domain for _, domain in accounts]
    found = {row["id"]: row["jid"] for row in await conn.fetch(_CLOSE, names, domains)}
    for account_id in found:
        await empty(conn, account_id)
    removed = {jid: Gone([], []) for jid in found.values()}
    for row in await conn.fetch(_DELETE, list(found), list(removed)):
        gone, kind = removed[row["contact"]], _PLACES.get(row["kind"])
        if kind is None:
            gone.contacts.append(row["jid"])
        else:
            gone.places.append((kind, row["jid"]))
    return removed
