"""In-band registration (XEP-0077): new accounts, password changes, removal."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Final, NamedTuple

import structlog
import trio

from rookery.shared.bus.api import BusTimeout
from rookery.shared.bus.messages import EditRoster, Handle, Kind, Register
from rookery.shared.bus.notices import account_changed
from rookery.shared.db.api import Connection
from rookery.shared.xeps import registration as xep
from rookery.shared.xeps import sasl_upgrade
from rookery.shared.xmpp.errors import JidError, StanzaError
from rookery.shared.xmpp.jid import Jid, prepare_local
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element
from rookery.workers.account import approvals, challenges, invitations, store
from rookery.workers.account.credentials import Keys, derive
from rookery.workers.account.greeting import welcome
from rookery.workers.account.mail import mail_address
from rookery.workers.account.stored import own, payload
from rookery.workers.hosted import HostedWorker

log = structlog.get_logger()
_CHECK: Final = """
SELECT (SELECT registration AND policy -> 'auth' IS NULL FROM domain WHERE name = $1 AND kind = 'accounts') AS open,
    (SELECT policy ->> 'joining' FROM domain WHERE name = $1 AND kind = 'accounts') AS joining,
    (SELECT policy -> 'captcha' FROM domain WHERE name = $1 AND kind = 'accounts') AS captcha,
    EXISTS (SELECT FROM account WHERE domain = $1 AND localpart = $2) AS taken"""
_ELSEWHERE: Final = "SELECT policy -> 'auth' IS NOT NULL FROM domain WHERE name = $1"
_MADE: Final = """
SELECT count(*) FROM registration_attempt WHERE network = $1::text::inet AND at > now() - interval '1 hour'"""
#: Registrations from one network go one after the other: two that counted at the same time would both find room.
_ALONE: Final = "SELECT pg_advisory_xact_lock(hashtextextended('rookery registration ' || $1::text, 0))"
_COUNT: Final = """
WITH old AS (DELETE FROM registration_attempt WHERE at < now() - interval '1 day')
INSERT INTO registration_attempt (network) VALUES ($1::text::inet)"""


class Checked(NamedTuple):
    """What a registration may do: with an invitation or without, whether the account then waits for approval, and whether a puzzle was solved."""

    invitation: invitations.Invitation | None
    waits: bool
    answered: bool


class Registered(NamedTuple):
    """An account that was made; one that `waits` is closed until somebody approves of it."""

    account: str
    waits: bool


def network_of(ip: str) -> str:
    """The network that one subscriber has: an IPv4 address, or the /64 around an IPv6 one."""
    address = ipaddress.ip_address(ip.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


def exempt(ip: str, nets: Iterable[str]) -> bool:
    """Whether an address is of one of the networks that limits leave alone."""
    address = ipaddress.ip_address(ip.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return any((mapped or address) in ipaddress.ip_network(net, strict=False) for net in nets)


def _check_network(ip: str, nets: Sequence[str]) -> None:
    """Raises StanzaError for an address that accounts are not made from."""
    address = ipaddress.ip_address(ip.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if nets and not any(address in ipaddress.ip_network(net) for net in nets):
        raise StanzaError("not-allowed", "accounts are not made from your network")


async def derived(worker: HostedWorker, password: str) -> list[Keys]:
    """Keys of a password for the mechanisms that are offered. Raises StanzaError for one that cannot be used."""
    config = worker.node.config
    mechanisms = sasl_upgrade.kept(config.account.mechanisms, config.options(sasl_upgrade.Options))
    least = worker.node.config.options(xep.Options).password_min
    if len(password) < least:
        raise StanzaError("not-acceptable", f"a password has at least {least} characters")
    try:
        return await trio.to_thread.run_sync(partial(derive, password, mechanisms, config.account.iterations))
    except ValueError as exc:
        raise StanzaError("not-acceptable", "this password cannot be used") from exc


async def register(worker: HostedWorker, partition: int, request: Register) -> Registered:
    """Make an account for somebody who has none. Raises StanzaError."""
    try:
        localpart = prepare_local(request.username)
    except JidError as exc:
        raise StanzaError("not-acceptable", "this username cannot be used") from exc
    email, network, domain = _email(request.email), network_of(request.ip), request.domain
    options = worker.node.config.options(xep.Options)
    _check_network(request.ip, options.nets)
    limit = None if exempt(request.ip, worker.node.config.limits.exempt_nets) else options.per_hour
    deadline = int(time.time() * 1000) + 8000

    # Before the costly part, so that neither a closed domain nor a taken name costs CPU.
    invitation, waits, answered = await worker.database(
        partition, lambda conn: _checked(conn, request, localpart, limit), deadline
    )
    keys = await derived(worker, request.password)

    async def create(conn: Connection) -> None:
        # A commit whose answer was lost is repeated: then the account that is there is the one made here.
        there = await store.get_credentials(conn, localpart, domain, keys[0].mechanism)
        if there is not None and there.salt == keys[0].salt:
            return
        async with conn.transaction():
            if invitation is not None:
                if not await invitations.take(conn, domain, localpart, request.token):
                    raise StanzaError("not-allowed", "this invitation is used up")
            elif limit is not None:
                await conn.execute(_ALONE, network)
                await _find_room(conn, network, limit)
            made = await store.create_account(conn, localpart, domain, keys, email, worker.node.incarnation)
            if made is None:
                raise StanzaError("conflict", "this username is taken")
            if answered:
                await challenges.use(conn, request.puzzle)
            if waits:
                await approvals.wait(conn, made, request.ip)
            if limit is not None and invitation is None:
                await conn.execute(_COUNT, network)

    await worker.database(partition, create, deadline)
    made = Registered(f"{localpart}@{domain}", waits)
    worker.tell(account_changed(made.account, "created"))
    if not waits:
        worker.tell(await worker.database(partition, lambda conn: welcome(conn, made.account), deadline))
    await _acquaint(worker, made.account, "" if invitation is None else invitation.inviter)
    return made


async def _checked(conn: Connection, request: Register, localpart: str, limit: int | None) -> Checked:
    """What a registration may do. Raises StanzaError for nothing."""
    domain = request.domain
    invitation = await invitations.shown(conn, domain, request.token) if request.token else None
    row = await conn.fetchrow(_CHECK, domain, localpart)
    if row["joining"] == "nobody" or (not row["open"] and invitation is None):
        raise StanzaError("not-allowed", "registration is closed")
    if invitation is not None and invitation.username not in ("", localpart):
        raise StanzaError("not-acceptable", f"this invitation is for the username {invitation.username}")
    if invitation is None:
        await _find_room(conn, network_of(request.ip), limit)
    # Whoever was invited is no stranger. Before the name: it is told to those who have answered.
    asks = row["captcha"] if invitation is None else None
    answered = await challenges.passed(conn, domain, asks, request.puzzle)
    if row["taken"] or await invitations.kept(conn, domain, localpart, request.token):
        raise StanzaError("conflict", "this username is taken")
    return Checked(
        invitation, invitation is None and await approvals.due(conn, domain, row["joining"]), answered
    )


async def _acquaint(worker: HostedWorker, account: str, inviter: str) -> None:
    """Put the new user and who has invited it into each other's rosters; their clients see that at once (XEP-0401 section 5.5)."""
    bus, node = worker.node.bus, worker.node
    for one, other in ((account, inviter), (inviter, account)) if inviter else ():
        try:
            await bus.call(
                Kind.ROSTER, node.partition(one), EditRoster(one, other, "", (), "both"), timeout=4.0
            )
        except (BusTimeout, StanzaError) as error:
            log.warning("inviter_no_contact", account=one, contact=other, error=str(error))


async def _find_room(conn: Connection, network: str, limit: int | None) -> None:
    """Raises StanzaError when the network has made as many accounts as it may."""
    if limit is not None and await conn.fetchval(_MADE, network) >= limit:
        raise StanzaError("resource-constraint", "too many new accounts from your network; try again later")


def _query(item: Handle) -> Element:
    """The payload of a request of somebody who is logged in. Raises StanzaError."""
    own(item)
    iq, account = item.stanza, Jid.trusted(item.account)
    if iq.to and iq.to not in (account.bare, account.domain):
        raise StanzaError("not-allowed", "an account belongs to its own domain")
    return payload(iq)


async def on_file(worker: HostedWorker, partition: int, item: Handle) -> Stanza | None:
    """Tell what is on file of the account."""
    _query(item)
    account = Jid.trusted(item.account)
    found = await worker.database(
        partition,
        lambda conn: store.get_account(conn, account.local or "", account.domain),
        item.origin.deadline,
    )
    if found is None:
        raise StanzaError("item-not-found")
    return item.stanza.result(xep.filled_form(found.localpart, found.email))


async def change(worker: HostedWorker, partition: int, item: Handle) -> Stanza | None:
    """Change the password, or remove the account."""
    query = _query(item)
    if query.find(xep.NS, "remove") is not None:
        if len(list(query.elements())) != 1:
            raise StanzaError("bad-request", "remove stands alone")
        await _remove(worker, partition, item)
        return None
    await _change_password(worker, partition, item, query)
    return None


async def _change_password(worker: HostedWorker, partition: int, item: Handle, query: Element) -> None:
    account = Jid.trusted(item.account)
    username, password = query.find_text(xep.NS, "username"), query.find_text(xep.NS, "password")
    if not username or not password:
        raise StanzaError("bad-request", "username and password are required")
    try:
        same = prepare_local(username) == account.local
    except JidError:
        same = False
    if not same:
        raise StanzaError("not-allowed", "only the own password can be changed")
    await put_password(worker, partition, account, password, item.origin.deadline)
    worker.client_log("password_changed", account=account.bare, by=item.full)
    worker.route(item.stanza.result())
    worker.tell(account_changed(account.bare, "password", full=item.full))


async def put_password(
    worker: HostedWorker, partition: int, account: Jid, password: str, deadline: int
) -> None:
    """Store another password. Raises StanzaError."""
    keys = await derived(worker, password)

    async def work(conn: Connection) -> bool:
        if await conn.fetchval(_ELSEWHERE, account.domain):
            raise StanzaError("not-allowed", "the passwords of this domain are kept elsewhere")
        return await store.set_password(
            conn, account.local or "", account.domain, keys, worker.node.incarnation
        )

    if not await worker.database(partition, work, deadline):
        raise StanzaError("item-not-found")


async def _remove(worker: HostedWorker, partition: int, item: Handle) -> None:
    """Remove the account; a removal that was begun is finished however long Postgres is away."""
    account = Jid.trusted(item.account)
    gone = await take_out(worker, partition, account)
    worker.client_log("account_removed", account=account.bare, by=item.full)
    # The answer first: the router ends the sessions when it hears of the removal (section 3.2).
    worker.route(item.stanza.result())
    removed(worker, account.bare, gone)


async def take_out(worker: HostedWorker, partition: int, account: Jid) -> store.Gone | None:
    """Remove an account with all that it has; returns those whom `removed` tells."""
    return await worker.database(
        partition,
        lambda conn: store.delete_account(conn, account.local or "", account.domain, worker.node.incarnation),
    )


def removed(worker: HostedWorker, account: str, gone: store.Gone | None) -> None:
    """Tell everybody whom a committed removal concerns."""
    contacts, places = gone or ((), ())
    worker.tell(account_changed(account, "removed", contacts, places=places))


def _email(text: str) -> str:
    try:
        return mail_address(text)
    except ValueError as exc:
        raise StanzaError("not-acceptable", "this email address cannot be used") from exc
