"""The account worker: credentials for the edges, registration, and what users keep at the server."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final

import structlog
import trio

from rookery.shared.bus.api import Call
from rookery.shared.bus.kinds import ACCOUNTS
from rookery.shared.bus.messages import (
    AddKeys,
    AskInvitation,
    AskPuzzle,
    ChangeAccount,
    CheckLogin,
    Credentials,
    Domains,
    Done,
    GetCredentials,
    GetDomains,
    Handle,
    Invited,
    IssueToken,
    Item,
    Kind,
    LastSeen,
    LoggedIn,
    OperatorCommand,
    Puzzled,
    Redeem,
    Register,
)
from rookery.shared.cluster.api import Node
from rookery.shared.cluster.delegations import of_components
from rookery.shared.cluster.domains import DomainRow, read_rows
from rookery.shared.db.api import Connection, DatabaseUnavailable, Fenced
from rookery.shared.db.secrets import shared_secrets
from rookery.shared.observe.bounded import OTHER, Bounded
from rookery.shared.observe.metrics import REGISTRATIONS
from rookery.shared.xeps import last_activity, sasl_upgrade
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.jid import Jid
from rookery.workers.account import (
    announcements,
    by_browser,
    challenges,
    invitations,
    of_nodes,
    registration,
    store,
)
from rookery.workers.account.credentials import PURPOSE, Keys, base_mechanism, invented
from rookery.workers.account.logins.checking import Logins
from rookery.workers.account.pacing import Pacing, Question
from rookery.workers.account.redeeming import Tokens
from rookery.workers.account.requests import REQUESTS
from rookery.workers.account.seen import Seen
from rookery.workers.hosted import Answerer, DeadlineError, Handler, HostedWorker
from rookery.workers.requests import is_request, serve

#: A call waits for Postgres no longer than this; its caller gives up soon after.
_CALL_MS: Final = 8000
#: How long the spread of iterations is believed.
_COUNTS_SECONDS: Final = 60.0
_SECRET_RETRY: Final = 0.5
log = structlog.get_logger()


class AccountService(HostedWorker):
    """The accounts of the held partitions, each in its own lane."""

    kind = Kind.ACCOUNT

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        options = node.config.options(last_activity.Options)
        self._status_max = options.status_max
        self.seen = Seen(self, options.write_seconds)
        self.logins = Logins(self)
        self.pacing = Pacing(self)
        self._puzzles = challenges.Puzzles()
        self.domains.changed = self.logins.learn
        self.tokens = Tokens(self, self.logins)
        self._secret = b""
        self._secret_known = trio.Event()
        self._counts: dict[str, dict[int, int]] = {}
        self._counts_until = 0.0
        self._bounded = Bounded()
        #: Partitions that are being given away: what takes long is left to the next holder.
        self._leaving: set[int] = set()

    async def run(self) -> None:
        """Background work; runs until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(super().run)
            nursery.start_soon(self._load_secret)
            nursery.start_soon(self.seen.run)
            nursery.start_soon(self.tokens.run)
            nursery.start_soon(self.logins.guests.run)
            nursery.start_soon(self.client_log.run)

    async def release(self, partition: int) -> None:
        """Finish and commit what was received."""
        self._leaving.add(partition)
        try:
            await super().release(partition)
        finally:
            self._leaving.discard(partition)
        await self.seen.write()

    def drop(self, partition: int) -> None:
        """Forget the partition at once."""
        super().drop(partition)
        self.seen.drop(partition)

    def items(self) -> Mapping[type, Handler]:
        """Who handles what."""
        return {
            Handle: self._on_handle,
            LastSeen: self._on_last_seen,
            LoggedIn: self._on_logged_in,
            OperatorCommand: self._on_operator_command,
        }

    def calls(self) -> Mapping[type, Answerer]:
        """Calls wait in the lane of their account, too."""
        return {
            GetCredentials: self._on_get_credentials,
            AddKeys: self._on_add_keys,
            CheckLogin: self._on_check_login,
            ChangeAccount: self._on_change_account,
            Redeem: self._on_redeem,
            IssueToken: self._on_issue_token,
            Register: self._on_register,
            AskInvitation: self._on_ask_invitation,
            AskPuzzle: self._on_ask_puzzle,
            GetDomains: self._on_get_domains,
        }

    def _on_handle(self, partition: int, item: Handle) -> None:
        if item.stanza.kind == "message":
            work = partial(announcements.carry_out, self, partition, item, lambda: partition in self._leaving)
            self.handle(partition, item, work, f"announce {item.account}")
            return
        self.handle(partition, item, partial(self._handle, partition, item))

    def _on_last_seen(self, partition: int, item: LastSeen) -> None:
        self.seen.note(partition, item._replace(status=item.status[: self._status_max]))

    def _on_operator_command(self, partition: int, item: OperatorCommand) -> None:
        log.info(
            "operator_command",
            operator=item.operator,
            command=item.command,
            target=item.target,
            detail=item.detail,
            at=item.at,
        )

    def _on_get_credentials(self, partition: int, call: Call, request: GetCredentials) -> None:
        work = partial(self._credentials, partition, request.account, request.mechanism)
        self.pacing.ask(Question(partition, call, partial(self._reply, call, work), request.account), request)

    def _on_add_keys(self, partition: int, call: Call, request: AddKeys) -> None:
        work = partial(self._add_keys, partition, request)
        self.job(partition, request.account, partial(self._reply, call, work))

    def _on_check_login(self, partition: int, call: Call, request: CheckLogin) -> None:
        # Each for itself: a back end may be slow.
        answer = partial(self._reply, call, partial(self.logins.check, partition, request))
        self.pacing.ask(Question(partition, call, answer, self.pacing.lane()), request)

    def _on_change_account(self, partition: int, call: Call, request: ChangeAccount) -> None:
        answer = partial(self._reply, call, partial(self._change_account, partition, request))
        self.pacing.ask(Question(partition, call, answer, request.account), request)

    async def _change_account(self, partition: int, request: ChangeAccount) -> Done:
        mechanism = self.node.config.account.mechanisms[0]
        found = await self._credentials(partition, request.account, mechanism)
        return await by_browser.change(self, partition, request, found)

    def _on_logged_in(self, partition: int, item: LoggedIn) -> None:
        self.pacing.right(item)

    def _on_redeem(self, partition: int, call: Call, request: Redeem) -> None:
        work = partial(self.tokens.redeem, partition, request)
        self.job(partition, request.account, partial(self._reply, call, work))

    def _on_issue_token(self, partition: int, call: Call, request: IssueToken) -> None:
        work = partial(self.tokens.issue, partition, request)
        self.job(partition, request.account, partial(self._reply, call, work))

    def _on_register(self, partition: int, call: Call, request: Register) -> None:
        # Names that differ only before they are prepared may run side by side: the table decides.
        work = partial(self._register, partition, request)
        self.job(partition, f"{request.username}@{request.domain}", partial(self._reply, call, work))

    def _on_ask_invitation(self, partition: int, call: Call, request: AskInvitation) -> None:
        self.job(partition, "", partial(self._reply, call, partial(self._invitation, partition, request)))

    async def _invitation(self, partition: int, request: AskInvitation) -> Invited:
        async def ask(conn: Connection) -> Invited:
            found = await invitations.valid(conn, request.domain, request.token)
            joins = await invitations.joins(conn, request.domain)
            return Invited(found.username, found.inviter, int(found.expires.timestamp()), joins)

        return await self.database(partition, ask, _deadline())

    def _on_ask_puzzle(self, partition: int, call: Call, request: AskPuzzle) -> None:
        self.job(partition, "", partial(self._reply, call, partial(self._puzzle, partition, request)))

    async def _puzzle(self, partition: int, request: AskPuzzle) -> Puzzled:
        now = time.time()
        puzzle = self._puzzles.make(request.domain, now)
        while puzzle is None:
            await self.database(
                partition, partial(self._puzzles.read, domain=request.domain, now=now), _deadline()
            )
            puzzle = self._puzzles.make(request.domain, now)
        return Puzzled(*puzzle)

    def _on_get_domains(self, partition: int, call: Call, request: GetDomains) -> None:
        self.job(partition, "", partial(self._reply, call, partial(self._domains, partition)))

    async def _handle(self, partition: int, item: Handle) -> None:
        if not is_request(item.stanza):
            self.accept(item.origin)
            return
        if item.stanza.has(last_activity.NS, "query"):
            await self.seen.write()  # what was noted before counts
        if of_nodes.concerns(item):
            await self._hand_on(partition, item)
        else:
            await serve(self, REQUESTS, self, partition, item)

    async def _hand_on(self, partition: int, item: Handle) -> None:
        """Do what is ours, then let the keeper of the account's nodes go on: it answers and accepts the request, which comes again until then."""
        try:
            handed = await of_nodes.store(self, partition, item)
        except DeadlineError:
            self.accept(item.origin)
        except StanzaError as exc:
            self.answer(item.origin, item.stanza.error(exc))
        else:
            self.node.bus.post(Kind.PUBSUB, partition, Handle(*handed))

    # --- calls ---------------------------------------------------------------------------------------------------

    async def _reply(self, call: Call, work: Callable[[], Awaitable[Item]]) -> None:
        answer: Item | StanzaError
        try:
            answer = await work()
        except StanzaError as exc:
            answer = exc
        except Fenced:
            return
        except DeadlineError:
            answer = StanzaError("internal-server-error", type="wait")
        except Exception:
            log.exception("call_failed", request=type(call.request).__name__)
            answer = StanzaError("internal-server-error")
        self.node.bus.reply(call, answer)

    async def _credentials(self, partition: int, whose: str, mechanism: str) -> Credentials:
        account, settings = Jid.trusted(whose), self.node.config.account
        mechanism = base_mechanism(mechanism, settings.mechanisms)
        await self._secret_known.wait()
        found = await self.database(
            partition,
            lambda conn: store.login_keys(conn, account.local or "", account.domain, mechanism),
            _deadline(),
        )
        if found is None:
            counts = await self._counted(partition)
            return invented(account.bare, mechanism, settings.iterations, self._secret, counts.get(mechanism))
        keys, had = found
        options = self.node.config.options(sasl_upgrade.Options)
        kept = sasl_upgrade.kept(settings.mechanisms, options) if options.enabled else ()
        missing = tuple(name for name in kept if name not in had)
        return Credentials(
            account.bare, True, keys.salt, keys.iterations, keys.stored_key, keys.server_key, missing
        )

    async def _add_keys(self, partition: int, request: AddKeys) -> Done:
        """Raises StanzaError: item-not-found when the password was changed meanwhile."""
        config, account = self.node.config, Jid.trusted(request.account)
        kept = sasl_upgrade.kept(config.account.mechanisms, config.options(sasl_upgrade.Options))
        if request.mechanism not in kept:
            raise StanzaError("not-acceptable", "no keys are kept for this mechanism")
        keys = Keys(
            request.mechanism, request.iterations, request.salt, request.stored_key, request.server_key
        )
        work = partial(self._add_to, account, keys, request.proved)
        added = await self.database(partition, work, _deadline())
        if added is None:
            raise StanzaError("item-not-found")
        if added:
            self.client_log("keys_added", account=account.bare, mechanism=request.mechanism)
        return Done()

    async def _add_to(self, account: Jid, keys: Keys, proved: bytes, conn: Connection) -> bool | None:
        return await store.add_keys(
            conn, account.local or "", account.domain, proved, keys, self.node.incarnation
        )

    async def _counted(self, partition: int) -> dict[str, dict[int, int]]:
        """How the iterations of real keys are spread; counted again when it is old."""
        now = trio.current_time()
        if now >= self._counts_until:
            self._counts = await self.database(partition, store.iteration_counts, _deadline())
            self._counts_until = now + _COUNTS_SECONDS
        return self._counts

    async def _register(self, partition: int, request: Register) -> Done:
        try:
            account, waits = await registration.register(self, partition, request)
        except StanzaError as exc:
            self.client_log(
                "registration_refused",
                username=request.username,
                domain=request.domain,
                address=request.ip,
                reason=exc.condition,
            )
            REGISTRATIONS.labels(exc.condition, self._label(request.domain)).inc()
            raise
        if waits:
            self.client_log("registration_waits", account=account, address=request.ip)
            REGISTRATIONS.labels("waits", self._label(request.domain)).inc()
            # Its client must not try to log in.
            text = "your account was requested; somebody has to approve of it before you can log in"
            raise StanzaError("not-allowed", text, type="wait")
        REGISTRATIONS.labels("created", self._label(request.domain)).inc()
        self.client_log("account_registered", account=account, address=request.ip)
        return Done()

    def _label(self, domain: str) -> str:
        return self._bounded.label(domain) if domain in self.addresses.accounts else OTHER

    async def _domains(self, partition: int) -> Domains:
        found, rows = await self.database(partition, _hosted, _deadline())
        return Domains(
            tuple(
                (
                    domain.name,
                    domain.registration,
                    tuple((field, tuple(uris)) for field, uris in sorted(domain.contacts.items())),
                )
                for domain in found
            ),
            ()
            if all(domain.kind == ACCOUNTS for domain in found)
            else tuple(domain.kind for domain in found),
            tuple(tuple(domain.logins) for domain in found) if any(domain.logins for domain in found) else (),
            tuple(domain.name for domain in found if domain.puzzles),
            tuple(sorted({domain for domain, _ in of_components(rows).values()})),
        )

    async def _load_secret(self) -> None:
        while True:
            try:
                self._secret = (await shared_secrets(self.node.db, PURPOSE))[0]
            except DatabaseUnavailable:
                await trio.sleep(_SECRET_RETRY)
            else:
                self._secret_known.set()
                return


async def _hosted(conn: Connection) -> tuple[list[store.Domain], list[DomainRow]]:
    return await store.domains(conn), await read_rows(conn)


def _deadline() -> int:
    return int(time.time() * 1000) + _CALL_MS
