"""The nodes that are in use: the least recently used go first, when they weigh too much together. A pure machine."""

from __future__ import annotations

from collections import OrderedDict

from rookery.workers.pubsub.node import Node

#: How long it is believed who sees the presence of an account (seconds): changes are told, but a notice may die with its sender.
MAX_AGE = 300.0
#: Accounts whose contacts are remembered by one process, all contacts together.
MAX_CONTACTS = 500_000


class Nodes:
    """Nodes by owner and name, each with the partition that it belongs to."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._nodes: OrderedDict[tuple[str, str], tuple[int, int, Node]] = OrderedDict()
        self._by_owner: dict[str, set[str]] = {}
        self.weight = 0

    def get(self, owner: str, name: str) -> Node | None:
        """A node that is known."""
        found = self._nodes.get((owner, name))
        if found is None:
            return None
        self._nodes.move_to_end((owner, name))
        return found[2]

    def put(self, partition: int, node: Node) -> None:
        """Remember a node, or weigh it anew."""
        key = node.owner, node.name
        self.forget(*key)
        weight = node.weight
        self._nodes[key] = partition, weight, node
        self._by_owner.setdefault(node.owner, set()).add(node.name)
        self.weight += weight
        while self.weight > self._most and len(self._nodes) > 1:
            self.forget(*next(iter(self._nodes)))

    def forget(self, owner: str, name: str) -> None:
        """Read it again the next time."""
        found = self._nodes.pop((owner, name), None)
        if found is not None:
            self.weight -= found[1]
            names = self._by_owner[owner]
            names.discard(name)
            if not names:
                del self._by_owner[owner]

    def forget_owner(self, owner: str) -> None:
        """The owner is gone."""
        for name in list(self._by_owner.get(owner, ())):
            self.forget(owner, name)

    def forget_partition(self, partition: int) -> None:
        """Another process holds it now."""
        for key in [key for key, one in self._nodes.items() if one[0] == partition]:
            self.forget(*key)

    def __len__(self) -> int:
        return len(self._nodes)


class Seen:
    """Who sees the presence of one account, and whom it blocks."""

    __slots__ = ("blocked", "contacts", "partition", "until")

    def __init__(
        self, partition: int, contacts: frozenset[str], blocked: frozenset[str], until: float
    ) -> None:
        self.partition = partition
        self.contacts = contacts
        self.blocked = blocked
        self.until = until


class Audiences:
    """What is known of accounts' contacts."""

    def __init__(self, most: int = MAX_CONTACTS) -> None:
        self._most = most
        self._known: OrderedDict[str, Seen] = OrderedDict()
        self._contacts = 0

    def get(self, account: str, now: float) -> Seen | None:
        """The contacts of an account, when they are known and young enough."""
        found = self._known.get(account)
        if found is None or found.until < now:
            return None
        self._known.move_to_end(account)
        return found

    def put(self, account: str, seen: Seen) -> None:
        """Remember them."""
        self.forget(account)
        self._known[account] = seen
        self._contacts += 1 + len(seen.contacts)
        while self._contacts > self._most and len(self._known) > 1:
            self.forget(next(iter(self._known)))

    def forget(self, account: str) -> None:
        """Read them again the next time."""
        found = self._known.pop(account, None)
        if found is not None:
            self._contacts -= 1 + len(found.contacts)

    def forget_partition(self, partition: int) -> None:
        """Another process holds it now."""
        for account in [account for account, one in self._known.items() if one.partition == partition]:
            self.forget(account)
