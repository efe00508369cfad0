"""What a service of rooms allows whom, and what a machine is told with each stanza."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence

from rookery.shared.bus.messages import NOBODY, Origin
from rookery.shared.cluster.domains import DomainRow
from rookery.shared.config import Config
from rookery.shared.xeps.multi_user_chat import Options
from rookery.shared.xmpp.jid import bare_of
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.muc.room.facts import Facts, Told


class Policy:
    """The services of rooms by their domains. `local` says whether an address is an account of this cluster."""

    def __init__(self, config: Config, local: Callable[[str], bool]) -> None:
        self._options = config.options(Options)
        self._local = local
        self._services: dict[str, DomainRow] = {}
        #: Rooms of one owner, behind which it makes no more.
        self.most_rooms = self._options.rooms_owned_max
        #: Names occupants (XEP-0421); known before any room is loaded.
        self.secret = b""
        #: Called when who is banned may be another.
        self.on_bans: Callable[[], None] = lambda: None
        #: Whether a bare JID stands in a list of senders of spam; None where there are no lists.
        self.lists: Callable[[str], bool] | None = None

    def learn(self, rows: Sequence[DomainRow]) -> None:
        """The hosted domains."""
        self._services = {row.name: row for row in rows}
        self.on_bans()

    def admin(self, service: str, bare: str) -> bool:
        """Whether somebody administers a service."""
        row = self._services.get(service)
        return row is not None and bare in row.admins

    def banned(self, service: str, bare: str) -> str | None:
        """Why somebody comes into no room of a service, "" for no reason; None when that is not so."""
        row = self._services.get(service)
        if row is None or not row.bans or bare in row.admins:
            return None
        found = row.bans.get(bare)
        return row.bans.get(bare.rpartition("@")[2]) if found is None else found

    def bans(self, service: str) -> bool:
        """Whether anybody may be banned from a service, or be listed."""
        row = self._services.get(service)
        return row is not None and (bool(row.bans) or self.lists is not None)

    def listed(self, service: str, bare: str) -> bool:
        """Whether somebody comes into no room where nobody has given him an affiliation."""
        return self.lists is not None and self.lists(bare) and not self.admin(service, bare)

    def may_create(self, service: str, bare: str) -> bool:
        """Whether somebody may make rooms: as the domain says, else every account of the cluster if the setting says so."""
        row = self._services.get(service)
        said = "" if row is None else row.creation
        if said == "anybody":
            return True
        if said == "admins":
            return self.admin(service, bare)
        return self._local(bare) and (said == "local" or self._options.create)

    def facts(self, stanza: Stanza, now: float, history: Sequence[Told], origin: Origin = NOBODY) -> Facts:
        """What the machine is told with a stanza that came with this origin."""
        service = bare_of(stanza.to).rpartition("@")[2]
        bare = bare_of(stanza.from_)
        ours = stanza.kind == "presence" and bool(origin.stream) and self._local(stanza.from_)
        return Facts(
            now,
            self._options,
            history,
            self.admin(service, bare),
            self.may_create(service, bare),
            self.secret,
            # (presence needs none)
            "" if stanza.kind == "presence" else secrets.token_urlsafe(12),
            self.banned(service, bare) is not None,
            self.listed(service, bare),
            origin.stream if ours else b"",
            origin.n if ours else 0,
            ours and not origin.n,
        )
