"""A node as a machine: whatever is asked in whatever order, its rules hold (XEP-0060)."""

from __future__ import annotations

import contextlib

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.xml import Element
from rookery.workers.pubsub import access, owner, publisher, subscriber
from rookery.workers.pubsub.changes import (
    NS_OWNER,
    Change,
    Configured,
    Deleted,
    Outcome,
    Published,
    Purged,
    Retracted,
    evolve,
)
from rookery.workers.pubsub.config import ACCESS, OF_ACCOUNTS, Config, Limits
from rookery.workers.pubsub.node import (
    AFFILIATIONS,
    MEMBER,
    OUTCAST,
    OWNER,
    PENDING,
    PUBLISH_ONLY,
    PUBLISHER,
    SUBSCRIBED,
    Ask,
    Contact,
    Item,
    Node,
)
from rookery.workers.pubsub.nodes import Seen
from rookery.workers.pubsub.notices import audience

LIMITS = Limits(20, 1000)
PEOPLE = ("a@x", "b@x", "c@y", "d@y")
people = st.sampled_from(PEOPLE)


class Shelf:
    """The items as the database has them after each change: the oldest first."""

    def __init__(self) -> None:
        self.items: list[Item] = []

    def take(self, change: Change) -> None:
        match change:
            case Published(item, keep, _):
                kept = [one for one in self.items if one.id != item.id]
                self.items = [*kept, item][-keep:] if keep else kept
            case Configured(_, keep):
                self.items = self.items[-keep:] if keep else []
            case Retracted(ids):
                self.items = [one for one in self.items if one.id not in ids]
            case Purged() | Deleted():
                self.items = []
            case _:
                pass


def may_read(node: Node, who: str, sees: bool) -> bool:
    """Sections 4.1 and 4.5, said once more: whose affiliation and access model let him read."""
    affiliation = node.affiliation(who)
    if affiliation in (OUTCAST, PUBLISH_ONLY):
        return False
    if affiliation in (OWNER, PUBLISHER, MEMBER):
        return True
    return {
        "open": True,
        "presence": sees,
        "roster": sees and "g" in node.config.values("roster_groups_allowed"),
        "authorize": any(one.state == SUBSCRIBED for one in node.of_bare(who)),
        "whitelist": False,
    }[node.config.text("access_model")]


class NodeMachine(RuleBasedStateMachine):
    """One node of a service or of the account a@x; what is decided is applied as if it were committed."""

    node: Node
    seen: int
    subids: int
    shelf: Shelf

    @initialize(account=st.booleans(), model=st.sampled_from(ACCESS), keep=st.sampled_from(["1", "3", "max"]))
    def make(self, account: bool, model: str, keep: str) -> None:
        ask = Ask("a@x/r", 0.0, LIMITS)
        wanted = {"access_model": model if account or model not in OF_ACCOUNTS else "open", "max_items": keep}
        self.node = owner.new_node("a@x" if account else "s.x", "n", ask, wanted, account=account)
        self.shelf = Shelf()
        self.apply(owner.create(self.node))
        self.node.id = 1
        self.seen = self.subids = 0

    def ask(self, who: str, sees: bool) -> Ask:
        self.subids += 1
        return Ask(f"{who}/r", 0.0, LIMITS, Contact(sees, ("g",)), f"s{self.subids}")

    def apply(self, outcome: Outcome) -> None:
        before = self.node.n
        for change in outcome.changes:
            evolve(self.node, change)
            self.shelf.take(change)
            if isinstance(change, Published):
                self.node.n = change.item.n
        fresh = [event.n for event in outcome.events if event.n > before]
        # New events are numbered densely, so nothing that is told can be overtaken or lost unseen.
        assert fresh == list(range(before + 1, before + 1 + len(fresh)))
        self.node.n = max([self.node.n, *fresh])

    @rule(who=people, id=st.sampled_from("pqr"), sees=st.booleans())
    def publish(self, who: str, id: str, sees: bool) -> None:
        with contextlib.suppress(StanzaError):
            before = next((one.publisher for one in self.shelf.items if one.id == id), "")
            what = publisher.Publication(id, b"<x xmlns='u'/>", {}, before)
            self.apply(publisher.publish(self.node, self.ask(who, sees), what))
            assert self.node.last is not None
            assert (self.node.last.id, self.node.last.n) == (id, self.node.n)
            assert self.node.affiliation(who) == OWNER or before.partition("/")[0] in ("", who)

    @rule(who=people, ids=st.lists(st.sampled_from("pqr"), max_size=2, unique=True), notify=st.booleans())
    def retract(self, who: str, ids: list[str], notify: bool) -> None:
        there = {one.id: one.publisher for one in self.shelf.items}
        try:
            self.apply(publisher.retract(self.node, self.ask(who, True), there, ids, notify=notify))
        except StanzaError:
            return
        assert ids
        assert set(ids) <= there.keys()
        mine = all(there[id] == f"{who}/r" for id in ids)
        assert self.node.affiliation(who) == OWNER or mine

    @rule(who=people, sees=st.booleans())
    def subscribe(self, who: str, sees: bool) -> None:
        ask = self.ask(who, sees)
        with contextlib.suppress(StanzaError):
            self.apply(subscriber.subscribe(self.node, ask, who, None, 3))
            one = self.node.of(who)[0]
            outsider = self.node.affiliation(who) not in ("owner", "publisher", "member")
            if outsider and self.node.config.text("access_model") == "whitelist":
                raise AssertionError("who is not on the list was subscribed")
            assert one.state != PENDING or self.node.config.text("access_model") == "authorize"

    @rule(who=people, allow=st.booleans())
    def approve(self, who: str, allow: bool) -> None:
        with contextlib.suppress(StanzaError):
            self.apply(subscriber.approve(self.node, self.ask("a@x", False), who, "", allow))

    @rule(who=people)
    def unsubscribe(self, who: str) -> None:
        with contextlib.suppress(StanzaError):
            self.apply(subscriber.unsubscribe(self.node, self.ask(who, False), who, None))
            assert not self.node.of(who)

    @rule(who=people, whom=people, affiliation=st.sampled_from(AFFILIATIONS))
    def affiliate(self, who: str, whom: str, affiliation: str) -> None:
        row = Element(NS_OWNER, "affiliation", {"jid": whom, "affiliation": affiliation})
        may = self.node.affiliation(who) == OWNER
        try:
            self.apply(
                owner.set_affiliations(self.node, self.ask(who, True), Element(NS_OWNER, "a", None, row))
            )
        except StanzaError:
            return
        assert may

    @rule(who=people, model=st.sampled_from(ACCESS))
    def configure(self, who: str, model: str) -> None:
        with contextlib.suppress(StanzaError):
            self.apply(owner.configure(self.node, self.ask(who, True), {"access_model": model}))

    @rule(who=people)
    def clear(self, who: str) -> None:
        with contextlib.suppress(StanzaError):
            self.apply(owner.purge(self.node, self.ask(who, True)))
            assert (self.node.last, self.node.count) == (None, 0)

    @rule(who=people)
    def end(self, who: str) -> None:
        may = self.node.affiliation(who) == OWNER
        try:
            outcome = owner.delete(self.node, self.ask(who, True), None)
        except StanzaError:
            assert not may
        else:
            assert may
            assert outcome.changes == (Deleted(),)

    @invariant()
    def rules_hold(self) -> None:
        if not hasattr(self, "node"):
            return
        node = self.node
        assert node.owners(), "a node has an owner"
        assert node.count <= node.config.max_items(LIMITS)
        assert len(node.subscriptions) <= 3
        assert node.n >= self.seen
        self.seen = node.n
        items = self.shelf.items
        assert len(items) <= min(node.count, node.config.max_items(LIMITS))
        assert len({one.id for one in items}) == len(items)
        assert [one.n for one in items] == sorted({one.n for one in items})
        assert node.last is None or node.last == items[-1], "the last item is the newest one"
        for jid, affiliation in node.affiliations.items():
            if affiliation == "outcast":
                assert not node.of_bare(jid), "who was cast out is not subscribed"
                assert not access.readable(node, Ask(f"{jid}/r", 0.0, LIMITS, Contact(True, ("g",))))
        for who in PEOPLE:
            for sees in (True, False):
                asker = Ask(f"{who}/r", 0.0, LIMITS, Contact(sees, ("g",)))
                assert access.readable(node, asker) is may_read(node, who, sees)
        assert Config.unpack(node.account, node.config.pack()).changed == node.config.changed

    @invariant()
    def each_is_told_once(self) -> None:
        """And nobody who may not read."""
        if not hasattr(self, "node"):
            return
        # (a service sees nobody's presence, and blocks nobody)
        seen = Seen(0, frozenset({"b@x", "c@y"}), frozenset({"c@y"}), 0.0)
        seen = seen if self.node.account else Seen(0, frozenset(), frozenset(), 0.0)
        groups = (
            frozenset({"b@x"}) if "g" in self.node.config.values("roster_groups_allowed") else frozenset()
        )
        whom = audience(self.node, seen, groups)
        told = [*(jid for jid, _ in whom.subscribers), *whom.contacts]
        assert len(told) == len(set(told))
        for jid in told:
            assert may_read(self.node, jid, jid == "b@x")
            assert self.node.affiliation(jid) != "outcast"
        for jid, _ in whom.subscribers:
            assert any(one.active for one in self.node.of(jid))


TestNode = NodeMachine.TestCase
TestNode.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
