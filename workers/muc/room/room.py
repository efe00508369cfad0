"""One room: a stanza and what the shell knows go in, a deed comes out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from rookery.shared.xeps._disco import NS_INFO
from rookery.shared.xeps.adhoc_commands import NS as COMMANDS
from rookery.shared.xeps.message_moderation import NS as MODERATE
from rookery.shared.xeps.multi_user_chat import ADMIN, OWNER, Options
from rookery.shared.xeps.ping import NS as PING
from rookery.shared.xeps.registration import NS as REGISTER
from rookery.shared.xeps.vcard_temp import NS as VCARD
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.muc.outs import Deed, Note, Out, Say, Send, Tell, Tombstone
from rookery.workers.muc.room import (
    archive,
    disco,
    entering,
    hat_commands,
    inviting,
    leaving,
    lists,
    moderating,
    owning,
    packed,
    privates,
    registering,
    speaking,
    statuses,
)
from rookery.workers.muc.room.affiliations import Gift, given
from rookery.workers.muc.room.asking import Ask
from rookery.workers.muc.room.changes import Step
from rookery.workers.muc.room.entrance import entrance
from rookery.workers.muc.room.evolve import Touched, evolve
from rookery.workers.muc.room.facts import Facts, Told
from rookery.workers.muc.room.render import introduce, render
from rookery.workers.muc.room.state import Occupant, State
from rookery.workers.muc.room.values import Affiliation, Ending, Role

Decide = Callable[[Ask], list[Step]]


def _pong(ask: Ask) -> list[Step]:
    return [Send(ask.stanza.result())]


#: Requests to the room itself: (type, namespace, name) -> who decides.
REQUESTS: Final[Mapping[tuple[str, str, str], Decide]] = {
    ("get", NS_INFO, "query"): disco.info,
    ("get", disco.NS_ITEMS, "query"): disco.items,
    ("get", ADMIN, "query"): lists.read,
    ("set", ADMIN, "query"): lists.change,
    ("get", OWNER, "query"): owning.read,
    ("set", OWNER, "query"): owning.change,
    ("get", REGISTER, "query"): registering.read,
    ("set", REGISTER, "query"): registering.change,
    ("get", VCARD, "vCard"): disco.card_get,
    ("set", VCARD, "vCard"): disco.card_set,
    ("set", MODERATE, "moderate"): moderating.moderate,
    ("set", COMMANDS, "command"): hat_commands.command,
    ("get", PING, "ping"): _pong,
}
#: Presence types that mean nothing to a room (section 16.3).
_QUIET: Final = frozenset({"probe", "subscribe", "subscribed", "unsubscribe", "unsubscribed"})


class Listing(NamedTuple):
    """What lists of rooms tell of one."""

    public: bool
    persistent: bool
    name: str
    description: str
    lang: str


class Room:
    """A room in memory; `state` is for those who look at it."""

    __slots__ = ("state",)

    def __init__(self, state: State) -> None:
        self.state = state

    @staticmethod
    def new(jid: str) -> Room:
        """A room that nobody has made: whoever may and enters does."""
        return Room(State(jid))

    @staticmethod
    def load(
        jid: str, state: bytes, affiliations: Mapping[str, bytes], occupants: Mapping[str, bytes]
    ) -> Room:
        """A room of its rows; what cannot be read is left out."""
        return Room(packed.load(jid, state, affiliations, occupants))

    @property
    def jid(self) -> str:
        """Its bare JID."""
        return self.state.jid

    @property
    def exists(self) -> bool:
        """Whether it was made, and not destroyed."""
        return self.state.exists

    @property
    def occupants(self) -> dict[str, Occupant]:
        """Sessions in the room by full JID."""
        return self.state.occupants

    # --- what happens ------------------------------------------------------------------------------------------------

    def handle(self, stanza: Stanza, facts: Facts) -> Deed:
        """What a stanza to the room or to an occupant does. Raises StanzaError for its sender."""
        state = self.state
        state.large = facts.options.large
        ask = Ask(state, facts, stanza, stanza.to.partition("/")[2])
        if stanza.kind == "message":
            steps = self._message(ask)
        elif stanza.kind == "presence":
            steps = self._presence(ask)
        else:
            steps = self._iq(ask)
        return self._done(steps, facts)

    def departed(self, full: str, facts: Facts) -> Deed:
        """The session of an occupant has ended without a word."""
        return self._done(leaving.departed(self.state, full), facts)

    def expel(self, bare: str, reason: str, facts: Facts) -> Deed:
        """The operator of the service lets somebody into no room of it any more (section 9.1's code for a ban)."""
        seats = self.state.seats_of(bare)
        return self._done(leaving.removed(seats, Ending((statuses.BANNED,), "", reason)), facts)

    def unaffiliated(self, bare: str) -> bool:
        """Whether an occupant is nobody's member, admin or owner here."""
        return all(seat.affiliation is Affiliation.NONE for seat in self.state.seats_of(bare))

    def introduce(self, facts: Facts) -> Deed:
        """Time has passed: who came in together with too many others is shown to everybody now. Call it while `late`."""
        state = self.state
        state.large = facts.options.large
        outs: list[Out] = []
        touched = Touched()
        for seat in introduce(state, facts, outs):
            touched.seat(seat)
        return Deed(outs, bool(outs), occupants=tuple(touched.occupants))

    def rest(self) -> None:
        """Nothing has happened for a while: what can be made anew is forgotten, so that idle occupants cost little."""
        self.state.stale()

    @property
    def late(self) -> bool:
        """Whether somebody is in of whom not everybody was told."""
        return self.state.late

    def make(self, owner: str, stanza: Stanza, facts: Facts) -> Deed:
        """An operator makes the room for an owner (a bare JID), with the form of its configuration in `stanza`. Raises StanzaError."""
        if self.exists:
            raise StanzaError("conflict", "there is such a room")
        return self._done(owning.made(Ask(self.state, facts, stanza, ""), owner), facts)

    def _message(self, ask: Ask) -> list[Step]:
        stanza = ask.stanza
        if stanza.type == "error":
            return leaving.errored(ask)
        self._there()
        if stanza.type == "groupchat":
            return speaking.groupchat(ask)
        return privates.message(ask) if ask.nick else inviting.message(ask)

    def _presence(self, ask: Ask) -> list[Step]:
        type = ask.stanza.type
        if type == "":
            return entering.available(ask)
        if type == "unavailable":
            return leaving.unavailable(ask)
        if type == "error":
            return leaving.errored(ask)
        if type in _QUIET:
            return []
        raise StanzaError("bad-request", "no such type of presence")

    def _iq(self, ask: Ask) -> list[Step]:
        stanza = ask.stanza
        if stanza.type in ("result", "error"):
            return privates.answer(ask) if ask.nick else []
        self._there(ask)
        if ask.nick:
            return privates.request(ask)
        namespace, name = stanza.payloads[0] if stanza.payloads else ("", "")
        decide = REQUESTS.get((stanza.type, namespace, name))
        if decide is None:
            raise StanzaError("service-unavailable")
        return decide(ask)

    def _there(self, ask: Ask | None = None) -> None:
        """Raise StanzaError unless the room is there; while it is locked, it is so for its owners only (section 7.2.11)."""
        state = self.state
        if not state.exists or (
            state.locked and ask is not None and ask.affiliation is not Affiliation.OWNER
        ):
            raise StanzaError("item-not-found", "there is no such room")

    def _done(self, steps: Sequence[Step], facts: Facts) -> Deed:
        touched = Touched()
        outs: list[Out] = []
        notes: list[Note] = []
        tombstones: list[Tombstone] = []
        for step in steps:
            if isinstance(step, Say | Tell | Send):
                outs.append(step)
            elif isinstance(step, Note):
                notes.append(step)
            elif isinstance(step, Tombstone):
                tombstones.append(step)
            else:
                evolve(self.state, step, touched)
                render(self.state, step, facts, outs)
        return Deed(
            outs,
            touched.durable,
            touched.room,
            tuple(touched.affiliations),
            tuple(touched.occupants),
            touched.removed,
            notes,
            tombstones,
        )

    # --- asking ------------------------------------------------------------------------------------------------------

    def entrance(self, full: str, history: Sequence[Told], options: Options) -> list[Stanza]:
        """What an occupant is told who came in (section 7.1), as the room is now."""
        self.state.large = options.large
        return entrance(self.state, self.state.occupants[full], history, options)

    def may_read_archive(self, full: str, facts: Facts) -> None:
        """Raise StanzaError for whoever may not read the archive (XEP-0313 section 5.1.2)."""
        archive.readable(self.state, full, facts)

    def unlist(self, bare: str, stanza: Stanza, facts: Facts) -> Deed:
        """An account is gone: it is nothing here any more, also if it was the last owner. `stanza` is the room's own."""
        listed = bare in self.state.affiliates
        ask = Ask(self.state, facts, stanza, "")
        return self._done(given(ask, Gift(bare, Affiliation.NONE)) if listed else (), facts)

    def moderates(self, stanza: Stanza, facts: Facts) -> bool:
        """Whether the sender is a moderator."""
        return Ask(self.state, facts, stanza, "").standing.role >= Role.MODERATOR

    def archive_view(self, stanza: Stanza, author: str, full: str) -> Stanza:
        """An archived message as this reader may see it; `author` is the real bare JID of who said it."""
        return archive.seen(self.state, stanza, author, full)

    def listing(self) -> Listing:
        """What lists of rooms tell of it: nothing while it is locked."""
        config = self.state.config
        public = config.public and not self.state.locked and self.state.exists
        return Listing(public, config.persistent, config.name, config.description, config.lang)

    # --- rows --------------------------------------------------------------------------------------------------------

    def pack(self) -> bytes:
        """Its own state."""
        return packed.room(self.state)

    def pack_occupant(self, full: str) -> bytes:
        """One session."""
        return packed.occupant(self.state, full)

    def pack_affiliation(self, jid: str) -> tuple[str, bytes] | None:
        """(Label, entry) of a bare JID or a domain; None when it has none."""
        return packed.affiliation(self.state, jid)
