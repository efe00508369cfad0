"""What was sent, acknowledged and received, and the verdict over it: no I/O and no clock of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

#: A request that has no answer so long after it was sent is unanswered, also during a fault.
IQ_SECONDS = 30.0


class Got(NamedTuple):
    """One arrival of a message: when, in which chain of resumptions of which client, and whether it says that it was delayed."""

    at: float
    chain: int
    delayed: bool


class Message:
    """One numbered message. Times are the loop's, 0.0 for "not yet"."""

    __slots__ = ("acked", "bounced", "chain", "got", "n", "sender", "sent", "void", "written")

    def __init__(self, sender: int, n: int, chain: int, now: float) -> None:
        self.sender = sender
        self.n = n
        self.chain = chain
        self.sent = now
        #: How often it was written to a socket.
        self.written = 0
        self.acked = 0.0
        self.bounced: list[tuple[float, str]] = []
        self.got: list[Got] = []
        #: Its chain was lost before it was acknowledged: it may or may not have arrived.
        self.void = False

    @property
    def name(self) -> str:
        """As it stands in its body."""
        return f"{self.sender}:{self.n}"


class Request:
    """One iq of a client."""

    __slots__ = ("again", "again_at", "answered", "chain", "how", "sent", "up", "void")

    def __init__(self, chain: int, now: float) -> None:
        self.chain = chain
        self.sent = now
        self.answered = 0.0
        #: "result", or the condition of an error.
        self.how = ""
        #: How it was answered after its first answer, and when; 0.0: it was not.
        self.again = ""
        self.again_at = 0.0
        self.void = False
        #: Since when its client has been connected without a break (an answer needs somebody who can hear it).
        self.up = now


class Violation(NamedTuple):
    """The server broke XEP-0198, or something else that no count shows."""

    at: float
    client: int
    what: str


class Verdict(NamedTuple):
    """The figures; the first row of them must be zero."""

    lost: list[Message]
    duplicates: list[Message]
    inversions: list[tuple[int, int, int]]
    bounced_and_delivered: list[Message]
    unanswered: int
    never_acked: list[Message]
    violations: list[Violation]
    sent: int
    acked: int
    received: int
    unknown: int
    unknown_received: int
    duplicates_across: int
    bounced: int
    requests: int
    late_answers: int
    answered_twice: int
    ack_stall: float
    delivery_stall: float
    lost_chains: int

    @property
    def zero(self) -> bool:
        """Whether the promise was kept."""
        return not (
            self.lost
            or self.duplicates
            or self.inversions
            or self.bounced_and_delivered
            or self.unanswered
            or self.never_acked
            or self.violations
        )


class Ledger:
    """Everything that clients saw. Clients come in pairs: `i` writes to `i ^ 1`."""

    def __init__(self, *, managed: bool = True) -> None:
        self._managed = managed
        self.messages: dict[tuple[int, int], Message] = {}
        self.requests: dict[tuple[int, str], Request] = {}
        self.violations: list[Violation] = []
        self._order: dict[tuple[int, int], int] = {}
        self.inversions: list[tuple[int, int, int]] = []
        self._chains = 0
        #: What may still change: looking at every message of a long run again and again would be what stalls.
        self._unsettled: list[Message] = []
        self.lost_chains = 0
        #: Stanzas that came and are not of the traffic: how many of which sort.
        self.others: dict[str, int] = {}

    def chain(self) -> int:
        """A new session: resumptions go on with it."""
        self._chains += 1
        return self._chains

    # --- messages ---

    def sent(self, sender: int, n: int, chain: int, now: float) -> Message:
        """A client has made a message."""
        message = self.messages[(sender, n)] = Message(sender, n, chain, now)
        self._unsettled.append(message)
        return message

    def got(self, receiver: int, sender: int, n: int, got: Got) -> None:
        """A message has arrived."""
        message = self.messages.get((sender, n))
        if message is None or sender ^ 1 != receiver:
            self.violation(got.at, receiver, f"got {sender}:{n}, which nobody sent to it")
            return
        first = not message.got
        message.got.append(got)
        highest = self._order.get((receiver, sender), 0)
        if n > highest:
            self._order[(receiver, sender)] = n
        elif first:
            self.inversions.append((sender, n, highest))

    def bounced(self, sender: int, n: int, now: float, condition: str) -> None:
        """A message came back to its sender."""
        message = self.messages.get((sender, n))
        if message is None:
            self.violation(now, sender, f"got an error for {n}, which it never sent")
        else:
            message.bounced.append((now, condition))

    def abandoned(self, messages: list[Message], client: int, chain: int, *, left: bool = False) -> None:
        """A session is lost, or was left on purpose: nobody knows what became of what it had not had acknowledged."""
        self.lost_chains += not left
        for message in messages:
            message.void = True
        for (owner, _), request in self.requests.items():
            if owner == client and request.chain == chain and not request.answered:
                request.void = True

    def violation(self, at: float, client: int, what: str) -> None:
        """Note a breach."""
        self.violations.append(Violation(at, client, what))

    # --- requests ---

    def connected(self, client: int, now: float) -> None:
        """The client can hear answers from now on."""
        for (owner, _), request in self.requests.items():
            if owner == client and not request.answered:
                request.up = now

    # --- the verdict ---

    def undelivered(self) -> Iterator[Message]:
        """Acknowledged, and neither received nor returned so far."""
        for message in self.messages.values():
            if message.acked and not message.got and not message.bounced:
                yield message

    def unacked(self) -> Iterator[Message]:
        """Not acknowledged, although its session lives."""
        for message in self.messages.values():
            if not message.acked and not message.void:
                yield message

    def open_requests(self) -> list[tuple[int, str, Request]]:
        """Requests without an answer whose session lives: (client, id, request)."""
        return [
            (client, id, one)
            for (client, id), one in self.requests.items()
            if not one.answered and not one.void
        ]

    def late(self) -> list[tuple[int, str, Request]]:
        """Requests that were answered too late: (client, id, request)."""
        return [
            (client, id, one)
            for (client, id), one in self.requests.items()
            if one.answered and one.answered - max(one.sent, one.up) > IQ_SECONDS + 1
        ]

    def answered_again(self) -> list[tuple[int, str, Request]]:
        """Requests that had more than one answer: (client, id, request)."""
        return [(client, id, one) for (client, id), one in self.requests.items() if one.again_at]

    def settled(self) -> bool:
        """Whether there is nothing left to wait for."""
        self._unsettled = [message for message in self._unsettled if self._open(message)]
        return not self._unsettled and not self.open_requests()

    def _open(self, message: Message) -> bool:
        if message.acked:
            return not message.got and not message.bounced
        return self._managed and not message.void

    def verdict(self) -> Verdict:
        """Judge."""
        messages = list(self.messages.values())
        duplicates = [m for m in messages if len({got.chain for got in m.got}) < len(m.got)]
        across = sum(len({got.chain for got in m.got}) - 1 for m in messages if m.got)
        void = [m for m in messages if m.void]
        return Verdict(
            lost=list(self.undelivered()),
            duplicates=duplicates,
            inversions=self.inversions,
            bounced_and_delivered=[m for m in messages if m.bounced and m.got],
            unanswered=len(self.open_requests()),
            never_acked=list(self.unacked()) if self._managed else [],
            violations=self.violations,
            sent=len(messages),
            acked=sum(1 for m in messages if m.acked),
            received=sum(1 for m in messages if m.got),
            unknown=len(void),
            unknown_received=sum(1 for m in void if m.got),
            duplicates_across=across,
            bounced=sum(1 for m in messages if m.bounced),
            requests=len(self.requests),
            late_answers=len(self.late()),
            answered_twice=len(self.answered_again()),
            ack_stall=max((m.acked - m.sent for m in messages if m.acked), default=0.0),
            delivery_stall=max((m.got[0].at - m.sent for m in messages if m.got), default=0.0),
            lost_chains=self.lost_chains,
        )
