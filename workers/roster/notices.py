"""Whom a change of a roster concerns beside its account: the presence worker, contacts."""

from __future__ import annotations

from rookery.shared.bus.messages import AccountChanged, Kind, RosterChanged, SendPresence
from rookery.shared.cluster.api import Node


def subscription(node: Node, account: str, contact: str, state: str) -> None:
    """Tell who may see whom now; `state` is that of the item, or "remove"."""
    changed = RosterChanged(account, contact, state)
    node.bus.post(Kind.PRESENCE, node.partition(account), changed)
    # A contact who may see the account now gets its last items (XEP-0163 section 4.3.2).
    node.bus.post(Kind.PUBSUB, node.partition(account), changed)
    # Who archives only contacts (XEP-0441) has others now.
    node.bus.post(Kind.ROUTER, node.partition(account), AccountChanged(account, "roster"))


def send_presence(node: Node, account: str, contact: str, available: bool) -> None:
    """Show the account's presence to a contact, or that there is none any more."""
    node.bus.post(Kind.ROUTER, node.partition(account), SendPresence(account, contact, available))
