"""A node as a machine: whatever is asked in whatever order, its rules hold (XEP-0060)."""

from __future__ import annotations

import contextlib

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.xml import Element
from rookery.workers.pubsub import access, owner, publisher, subscriber
from rookery.workers.pubsub.changes import NS_OWNER, Deleted, Outcome, Published, evolve
from rookery.workers.pubsub.config import ACCESS, Config, Limits
from rookery.workers.pubsub.node import AFFILIATIONS, OWNER, PENDING, Ask, Contact, Node

LIMITS = Limits(20, 1000)
PEOPLE = ("a@x", "b@x", "c@y", "d@y")
people = st.sampled_from(PEOPLE)


class NodeMachine(RuleBasedStateMachine):
    """One node of a service or of the account a@x; what is decided is applied as if it were committed."""

    node: Node
    seen: int
    subids: int

    @initialize(account=st.booleans(), model=st.sampled_from(ACCESS), keep=st.sampled_from(["1", "3", "max"]))
    def make(self, account: bool, model: str, keep: str) -> None:
        ask = Ask("a@x/r", 0.0, LIMITS)
        wanted = {"access_model": model, "max_items": keep}
        self.node = owner.new_node("a@x" if account else "s.x", "n", ask, wanted, account=account)
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
            if isinstance(change, Published):
                self.node.n = change.item.n
        fresh = [event.n for event in outcome.events if event.n > before]
        # New events are numbered densely, so nothing that is told can be overtaken or lost unseen.
        assert fresh == list(range(before + 1, before + 1 + len(fresh)))
        self.node.n = max([self.node.n, *fresh])

    @rule(who=people, id=st.sampled_from("pqr"), sees=st.booleans())
    def publish(self, who: str, id: str, sees: bool) -> None:
        with contextlib.suppress(StanzaError):
            what = publisher.Publication(id, b"<x xmlns='u'/>", {})
            self.apply(publisher.publish(self.node, self.ask(who, sees), what))
            assert self.node.last is not None
            assert (self.node.last.id, self.node.last.n) == (id, self.node.n)

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
        for jid, affiliation in node.affiliations.items():
            if affiliation == "outcast":
                assert not node.of_bare(jid), "who was cast out is not subscribed"
                assert not access.readable(node, Ask(f"{jid}/r", 0.0, LIMITS, Contact(True, ("g",))))
        assert Config.unpack(node.account, node.config.pack()).changed == node.config.changed


TestNode = NodeMachine.TestCase
TestNode.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
