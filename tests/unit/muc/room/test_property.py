"""A room under anything that its occupants do: what is always true of it (hypothesis)."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.examples import STEPS, many
from tests.unit.muc.room.scene import ROOM, Scene, codes_of, presence

from rookery.shared.xeps.multi_user_chat import NS, USER
from rookery.shared.xmpp import ns
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element
from rookery.workers.muc.room import nicks
from rookery.workers.muc.room.values import Affiliation, Role

PEOPLE = [f"{name}@example.org" for name in ("alice", "bob", "carol", "dave")]
FULL = [f"{bare}/{resource}" for bare in PEOPLE for resource in ("a", "b")]
NICKS = ["Tea", "tea", " TEA ", "Ｔea", "Milk", "Sugar", "Lemon"]
who = st.sampled_from(FULL)
nick = st.sampled_from(NICKS)


class RoomMachine(RuleBasedStateMachine):
    """What each occupant has been told makes the room that it sees; that has to be the room as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.scene = Scene()
        #: full JID -> {occupant JID}, as its client sees the room.
        self.seen: dict[str, set[str]] = {}
        #: full JID -> the bodies that it has got live.
        self.live: dict[str, list[str]] = {}
        self.said: list[str] = []
        self.since: dict[str, int] = {}

    @initialize()
    def begin(self) -> None:
        self._do(presence(FULL[0], "Tea", Element(NS, "x")))
        self.scene.unlock(FULL[0])
        self.scene.configure(FULL[0], persistentroom="1")
        self.scene.quiet()

    def _do(self, stanza: Stanza) -> None:
        scene = self.scene
        semi = not scene.room.state.config.non_anonymous
        moderators = {full for full, one in scene.room.occupants.items() if one.seat.role is Role.MODERATOR}
        try:
            scene.send(stanza)
        except StanzaError:
            assert not scene.heard
            return
        moderators |= {full for full, one in scene.room.occupants.items() if one.seat.role is Role.MODERATOR}
        entered = {
            full for full in scene.deed.occupants if full in scene.room.occupants and full not in self.seen
        }
        for full, stanzas in scene.heard.items():
            self._client(full, stanzas, full in entered)
            if semi and not scene.room.state.config.non_anonymous and full not in moderators:
                self._no_leak(full, stanzas)
        for full in [full for full in self.seen if full not in scene.room.occupants]:
            del self.seen[full]
        scene.quiet()

    def _client(self, full: str, stanzas: list[Stanza], entered: bool) -> None:
        if entered:
            shown = [stanza for stanza in stanzas if stanza.kind == "presence"]
            own = [at for at, stanza in enumerate(shown) if 110 in codes_of(stanza)]
            assert own == [len(shown) - 1], "its own presence comes last, once"
            self.seen[full] = set()
            self.since[full] = len(self.said)
            self.live[full] = []
        seen = self.seen.get(full)
        for stanza in stanzas:
            if stanza.kind == "presence" and seen is not None:
                (seen.discard if stanza.type == "unavailable" else seen.add)(stanza.from_)
            body = stanza.find(ns.CLIENT, "body") if stanza.type == "groupchat" else None
            if body is not None and not stanza.has("urn:xmpp:delay"):
                self.live.setdefault(full, []).append(body.text)

    def _no_leak(self, full: str, stanzas: list[Stanza]) -> None:
        mine = full.partition("/")[0]
        for stanza in stanzas:
            if stanza.kind == "iq":
                continue
            x = stanza.find(USER, "x")
            for item in x.elements(USER, "item") if x is not None else ():
                assert item.attrs.get("jid", mine).startswith(mine), "a real JID is seen"

    # --- what people do ----------------------------------------------------------------------------------------------

    @rule(full=who, nick=nick)
    def enter(self, full: str, nick: str) -> None:
        self._do(presence(full, nick, Element(NS, "x")))

    @rule(full=who, nick=nick)
    def show(self, full: str, nick: str) -> None:
        self._do(presence(full, nick, Element(ns.CLIENT, "show", None, "away")))

    @rule(full=who)
    def leave(self, full: str) -> None:
        self._do(presence(full, "x", type="unavailable"))

    @rule(full=who)
    def speak(self, full: str) -> None:
        text = f"m{len(self.said)}"
        before = len(self.scene.archive)
        body = Element(ns.CLIENT, "body", None, text)
        self.said.append(text)
        self._do(Stanza.build("message", body, type="groupchat", from_=full, to=ROOM))
        if len(self.scene.archive) == before:
            self.said.pop()

    @rule(full=who, nick=nick, role=st.sampled_from(["none", "visitor", "participant", "moderator"]))
    def give_role(self, full: str, nick: str, role: str) -> None:
        self._admin(full, {"nick": nick, "role": role})

    @rule(
        full=who,
        jid=st.sampled_from([*PEOPLE, "example.org"]),
        affiliation=st.sampled_from(["outcast", "none", "member", "admin", "owner"]),
        nick=st.one_of(st.none(), nick),
    )
    def give_affiliation(self, full: str, jid: str, affiliation: str, nick: str | None) -> None:
        item = {"jid": jid, "affiliation": affiliation}
        self._admin(full, item if nick is None else {**item, "nick": nick})

    def _admin(self, full: str, item: dict[str, str]) -> None:
        query = Element("http://jabber.org/protocol/muc#admin", "query")
        query.children.append(Element(query.ns, "item", item))
        self._do(Stanza.build("iq", query, type="set", id="q", from_=full, to=ROOM))

    @rule(
        field=st.sampled_from(["membersonly", "moderatedroom", "changesubject"]),
        value=st.sampled_from(["0", "1"]),
    )
    def configure(self, field: str, value: str) -> None:
        x = Element("jabber:x:data", "x", {"type": "submit"})
        given = Element(x.ns, "value", None, value)
        x.children.append(Element(x.ns, "field", {"var": f"muc#roomconfig_{field}"}, given))
        query = Element("http://jabber.org/protocol/muc#owner", "query", None, x)
        owner = next(jid for jid, _ in self.scene.room.state.listed(Affiliation.OWNER))
        self._do(Stanza.build("iq", query, type="set", id="q", from_=f"{owner}/a", to=ROOM))

    @rule()
    def another_holder(self) -> None:
        """The room is loaded from its rows."""
        self.scene.reload()

    # --- what is always so -------------------------------------------------------------------------------------------

    @invariant()
    def nicks_are_unique(self) -> None:
        state = self.scene.room.state
        assert all(nicks.key(seat.nick) == key for key, seat in state.seats.items())
        assert {full for seat in state.seats.values() for full in (one.full for one in seat.sessions)} == set(
            state.occupants
        )
        assert all(len({one.bare for one in seat.sessions}) == 1 for seat in state.seats.values())

    @invariant()
    def somebody_owns_it(self) -> None:
        state = self.scene.room.state
        if state.exists:
            assert state.owners == len(state.listed(Affiliation.OWNER)) >= 1

    @invariant()
    def nobody_is_in_who_may_not_be(self) -> None:
        state = self.scene.room.state
        for seat in state.seats.values():
            assert seat.role is not Role.NONE
            assert seat.affiliation is state.affiliate(seat.bare).affiliation
            assert seat.affiliation is not Affiliation.OUTCAST
            if state.config.members_only:
                assert seat.affiliation >= Affiliation.MEMBER
            if seat.affiliation >= Affiliation.ADMIN:
                assert seat.role is Role.MODERATOR

    @invariant()
    def everybody_sees_the_room_as_it_is(self) -> None:
        state = self.scene.room.state
        there = {seat.from_ for seat in state.seats.values()}
        assert set(self.seen) == set(state.occupants)
        for full, seen in self.seen.items():
            assert seen == there, full

    @invariant()
    def there_is_one_order_for_all(self) -> None:
        for full in self.seen:
            assert self.live[full] == self.said[self.since[full] :]


RoomMachine.TestCase.settings = settings(max_examples=many(40), stateful_step_count=STEPS, deadline=None)
TestRoom = RoomMachine.TestCase
