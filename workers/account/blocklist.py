"""The blocking command (XEP-0191): the list, its pushes, and what blocking does to presence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rookery.shared.bus.messages import Handle, Kind, SendPresence, ToResources
from rookery.shared.bus.notices import account_changed
from rookery.shared.db.api import Connection
from rookery.shared.xeps import blocking, spam_reporting
from rookery.shared.xmpp.errors import JidError, StanzaError
from rookery.shared.xmpp.jid import Jid, bare_of
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.account import reports, userdata
from rookery.workers.account.stored import own, payload
from rookery.workers.hosted import HostedWorker


def targets(jids: Iterable[str], seen_by: Sequence[str]) -> Iterator[str]:
    """The subscribers of the account's presence that these entries cover; a full JID covers only itself."""
    for entry in jids:
        jid = Jid.trusted(entry)
        if jid.local is None:
            yield from (contact for contact in seen_by if Jid.trusted(contact).domain == jid.domain)
        elif jid.bare in seen_by:
            yield entry


def _named(item: Handle) -> list[str]:
    """The addresses in a command of the account itself. Raises StanzaError."""
    own(item)
    command = payload(item.stanza)
    try:
        return [Jid.parse(entry.get("jid") or "").full for entry in command.elements(blocking.NS, "item")]
    except JidError as exc:
        raise StanzaError("jid-malformed") from exc


def _reports(item: Handle) -> dict[str, spam_reporting.Report]:
    """What the command says of those whom it blocks (XEP-0377), by address. Raises StanzaError."""
    found = {}
    for entry in payload(item.stanza).elements(blocking.NS, "item"):
        report = spam_reporting.read(entry)
        if report is not None:
            found[Jid.parse(entry.get("jid") or "").full] = report
    return found


async def listed(worker: HostedWorker, partition: int, item: Handle) -> Stanza | None:
    """Answer `<blocklist/>` (section 3.2)."""
    own(item)
    payload(item.stanza)
    found = await worker.database(
        partition, lambda conn: userdata.get_blocklist(conn, item.account), item.origin.deadline
    )
    return item.stanza.result(blocking.items("blocklist", sorted(found.blocked)))


async def block(worker: HostedWorker, partition: int, item: Handle) -> Stanza | None:
    """Do what `<block/>` says (section 3.3)."""
    account, jids = item.account, _named(item)
    said = _reports(item)
    if not jids:
        raise StanzaError("bad-request", "a block command names at least one JID")
    if any(bare_of(jid) == account for jid in jids):
        raise StanzaError("not-allowed", "an account does not block itself")
    limit = worker.node.config.options(blocking.Options).max_items
    options = worker.node.config.options(spam_reporting.Options)
    kept = [0]

    async def work(conn: Connection) -> userdata.Blocklist:
        if not said:
            return await userdata.block(conn, worker.node.incarnation, account, jids, limit)
        async with conn.transaction():
            before = await userdata.block(conn, worker.node.incarnation, account, jids, limit)
            id_ = await userdata.account_id(conn, account)
            kept[0] = await reports.keep(conn, id_, item.origin, said, options)
        return before

    before = await worker.database(partition, work, item.origin.deadline)
    for reported, report in said.items():
        worker.client_log("abuse_reported", account=account, reported=reported, reason=report.reason)
    _send_on(worker, account, list(said.items())[: kept[0]], options)
    # Unavailable goes out before the router knows of the block, which would stop it (section 3.3).
    _send_presence(worker, account, targets(jids, before.seen_by), False)
    _finish(worker, item, "block", jids)
    return None


async def unblock(worker: HostedWorker, partition: int, item: Handle) -> Stanza | None:
    """Do what `<unblock/>` says (sections 3.4 and 3.5)."""
    account, jids = item.account, _named(item)
    before = await worker.database(
        partition,
        lambda conn: userdata.unblock(conn, worker.node.incarnation, account, jids or None),
        item.origin.deadline,
    )
    _finish(worker, item, "unblock", jids)
    freed = before.blocked if not jids else set(jids)
    left = before.blocked - freed
    open_now = (to for to in targets(freed, before.seen_by) if not blocking.matches(left, to))
    _send_presence(worker, account, open_now, True)
    return None


def _send_on(
    worker: HostedWorker,
    account: str,
    said: Iterable[tuple[str, spam_reporting.Report]],
    options: spam_reporting.Options,
) -> None:
    """Tell whom the operator has named of reports that were kept (XEP-0377 section 5)."""
    here = worker.addresses.account(options.forward_to)
    for reported, report in said:
        if spam_reporting.goes_on(options, report, here=here):
            worker.route(spam_reporting.forwarded(options.forward_to, account, reported, report, here=here))


def _send_presence(worker: HostedWorker, account: str, to: Iterable[str], available: bool) -> None:
    router = worker.node.partition(account)
    for jid in dict.fromkeys(to):
        worker.node.bus.post(Kind.ROUTER, router, SendPresence(account, jid, available))


def _finish(worker: HostedWorker, item: Handle, name: str, jids: list[str]) -> None:
    """Committed: the router and the presence worker forget the old list, then the answer and the pushes go out."""
    bus, account = worker.node.bus, item.account
    partition = worker.node.partition(account)
    worker.tell(account_changed(account, "blocklist"))
    worker.route(item.stanza.result())
    push = Stanza.build("iq", blocking.items(name, jids), type="set", id="block-push")
    bus.post(Kind.ROUTER, partition, ToResources(account, blocking.MARK, push))
