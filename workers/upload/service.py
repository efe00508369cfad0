"""The upload worker (XEP-0363): gives slots, and has the HTTP port where files are put and got."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Final

import structlog
import trio

from rookery.shared.bus.messages import Kind, Route
from rookery.shared.cluster.api import Node
from rookery.shared.cluster.domains import DomainRow
from rookery.shared.db.api import Connection, DatabaseUnavailable
from rookery.shared.db.secrets import shared_secrets
from rookery.shared.observe.metrics import UPLOADS
from rookery.shared.xeps._disco import info
from rookery.shared.xeps.data_forms import Field, form
from rookery.shared.xeps.upload import NS, PURPOSE, Options
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.jid import bare_of
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element
from rookery.workers.domain_service import FEATURES, DomainService
from rookery.workers.hosted import Handler
from rookery.workers.upload import slots, store, sweep
from rookery.workers.upload.disk import Disk
from rookery.workers.upload.files import Files
from rookery.workers.upload.folder import Folder
from rookery.workers.upload.place import AwayError, Place, Terms
from rookery.workers.upload.port import Port

PURPOSES: Final = ("message", "profile", "ephemeral")
_RETRY: Final = 0.5
_SECRETS_SECONDS: Final = 60.0
_log = structlog.get_logger()


class UploadService(DomainService):
    """Implements `shared.cluster.api.Service` for the kind upload. Without a folder or a bucket it gives no slots and has no port."""

    kind = Kind.UPLOAD

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self._options = node.config.options(Options)
        self.files = Files(node.db, self._options, _place(self._options))
        self._port = Port(node.config, self.files)
        #: Domains whose guests (XEP-0175) put no files here.
        self._guests: frozenset[str] = frozenset()
        self.domains.changed = self._learn

    @property
    def ports(self) -> dict[str, int]:
        """What the ready file tells."""
        return {"upload": self._port.number} if self._port.number else {}

    def _learn(self, rows: Sequence[DomainRow]) -> None:
        guests = (row for row in rows if row.auth.get("type") == "anonymous")
        self._guests = frozenset(row.name for row in guests if row.auth.get("upload") is not True)

    def items(self) -> Mapping[type, Handler]:
        """Who handles what."""
        return {Route: self.on_route}

    async def run(self) -> None:
        """Background work; runs until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(super().run)
            if self._options.stores:
                nursery.start_soon(self._serve_files)

    def reload(self) -> None:
        """Read changed certificates now (SIGHUP)."""
        self._port.reload()

    async def _serve_files(self) -> None:
        while True:
            try:
                await self.files.place.prepare()
                self.files.secrets = await shared_secrets(self.node.db, "upload")
                break
            except DatabaseUnavailable:
                await trio.sleep(_RETRY)
            except OSError as error:
                self._unusable(error)
                await trio.sleep(_RETRY * 20)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._port.run)
                nursery.start_soon(sweep.run, self.node, self.files)
                nursery.start_soon(self._follow_secrets)
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 1):
                await self.files.place.aclose()

    def _unusable(self, error: OSError) -> None:
        where = self._options.directory or self._options.s3_bucket
        _log.error("upload_folder_unusable", directory=where, error=error.strerror or str(error))

    async def _follow_secrets(self) -> None:
        """Read keys that another process has made, and those of the store that an operator has changed."""
        while True:
            await trio.sleep(_SECRETS_SECONDS)
            try:
                self.files.secrets = await shared_secrets(self.node.db, "upload")
                await self.files.place.prepare()
            except DatabaseUnavailable:
                continue
            except OSError as error:
                self._unusable(error)

    # --- stanzas ---------------------------------------------------------------------------------------------------------

    async def asked(self, partition: int, item: Route, what: tuple[str, str, str]) -> Stanza:
        """A slot. Raises StanzaError."""
        if what != ("get", NS, "request"):
            raise StanzaError("service-unavailable")
        try:
            return await self._slot(partition, item)
        except slots.RefusedError as refused:
            UPLOADS.labels("refused").inc()
            return refused.answer(item.stanza)

    def disco_info(self) -> Element:
        """What a store of files is, and how large one may be (section 4)."""
        if not self._options.stores:
            return info("store", "file", "HTTP File Upload", FEATURES)
        purposes = PURPOSES + (("permanent",) if self._options.permanent else ())
        features = sorted([NS, *FEATURES, *(f"{PURPOSE}#{name}" for name in purposes)])
        size = Field("max-file-size", (str(self._options.file_bytes),))
        return info("store", "file", "HTTP File Upload", features, (form("result", NS, (size,)),))

    async def _slot(self, partition: int, item: Route) -> Stanza:
        iq, options, now = item.stanza, self._options, self.files.clock()
        bare = bare_of(iq.from_)
        if not self.addresses.account(bare):
            raise StanzaError("forbidden", "only accounts of this server put files here")
        if bare.rpartition("@")[2] in self._guests:
            raise StanzaError("forbidden", "guests put no files here")
        if not self.files.secrets or not (self._port.number or options.url):
            raise StanzaError("service-unavailable", "no files are taken here")
        want = slots.wanted(iq)
        expires, id = slots.judge(want, options, now), secrets.token_urlsafe(24)

        async def counted(conn: Connection) -> tuple[slots.Slot | None, bool]:
            local, _, domain = bare.rpartition("@")
            account = await store.account(conn, local, domain)
            if account is None:
                return None, False
            most = options.day_files, options.day_bytes
            slot = slots.Slot(
                id=id,
                domain=iq.to,
                account=account,
                name=want.name,
                size=want.size,
                media_type=want.media_type,
                until=int(now) + options.slot_seconds,
                expires=expires,
            )
            room = await store.count(conn, account, want.size, now, most)
            # What is put at a store by a signed URL does not pass here again.
            return slot, room and (not options.s3_direct or await store.put(conn, slot))

        slot, room = await self.database(partition, counted, item.origin.deadline)
        if slot is None:
            raise StanzaError("forbidden")
        if not room:
            raise slots.over_quota(now)
        UPLOADS.labels("slot").inc()
        base = options.url.replace("{domain}", iq.to) or f"https://{iq.to}:{self._port.number}"
        return slots.given(iq, slot, base, self.files.secrets[0], self._at_store(slot, want))

    def _at_store(self, slot: slots.Slot, want: slots.Wanted) -> str:
        """The signed URL by which a client puts a file at the store; "" where it puts the file here. Raises StanzaError."""
        headers = {"content-length": str(slot.size)}
        if want.said:
            headers["content-type"] = want.said
        try:
            return self.files.place.url("PUT", slot.id, Terms(self._options.slot_seconds, headers))
        except AwayError:
            raise StanzaError("service-unavailable", "no files are taken here") from None


def _place(options: Options) -> Place:
    if not options.s3_bucket:
        return Disk(Folder(options.directory))
    # The signer takes a third of a second to import: whoever has no bucket does not pay for it.
    from rookery.workers.upload.bucket import Bucket

    return Bucket(options)
