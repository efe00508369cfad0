"""The subscription state machine of RFC 6121 Appendix A as tables, both directions, with pre-approval (section 3.4).

Pure: `step` says what one presence of type subscribe, subscribed, unsubscribe or unsubscribed does to the state that an
account has with a contact, and what has to be sent because of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

TYPES: Final = frozenset({"subscribe", "subscribed", "unsubscribe", "unsubscribed"})


class State(NamedTuple):
    """What an account and a contact are to each other, seen from the account (Appendix A.1).

    `to`: the account sees the contact; `from_`: the contact sees the account; `out` and `in_`: a request of the account,
    of the contact, is not answered yet; `approved`: a request of the contact is answered before it comes.
    """

    to: bool = False
    from_: bool = False
    out: bool = False
    in_: bool = False
    approved: bool = False

    @property
    def subscription(self) -> str:
        """The value of a roster item's `subscription` (section 2.1.2.5)."""
        if self.to:
            return "both" if self.from_ else "to"
        return "from" if self.from_ else "none"

    @property
    def visible(self) -> tuple[bool, bool, bool, bool]:
        """What a roster item shows; pending-in is never shown (section 3.1.3)."""
        return self.to, self.from_, self.out, self.approved

    def code(self) -> int:
        """The state as a small number, for storage."""
        return self.to | self.from_ << 1 | self.out << 2 | self.in_ << 3 | self.approved << 4

    @staticmethod
    def decode(code: int) -> State:
        """The state of a number that `code` made."""
        return State(*(bool(code >> bit & 1) for bit in range(5)))


NONE: Final = State()
NONE_OUT: Final = State(out=True)
NONE_IN: Final = State(in_=True)
NONE_OUT_IN: Final = State(out=True, in_=True)
TO: Final = State(to=True)
TO_IN: Final = State(to=True, in_=True)
FROM: Final = State(from_=True)
FROM_OUT: Final = State(from_=True, out=True)
BOTH: Final = State(to=True, from_=True)


class Row(NamedTuple):
    """One row of a table: the new state, and whether the stanza is routed (outbound) or delivered (inbound)."""

    new: State
    forward: bool


def _rows(*rows: tuple[State, State, bool]) -> Mapping[State, Row]:
    return {old: Row(new, forward) for old, new, forward in rows}


OUTBOUND: Final[Mapping[str, Mapping[State, Row]]] = {
    # Appendix A.2.1: every request is routed, so that a lost answer can be asked for again.
    "subscribe": _rows(
        (NONE, NONE_OUT, True),
        (NONE_OUT, NONE_OUT, True),
        (NONE_IN, NONE_OUT_IN, True),
        (NONE_OUT_IN, NONE_OUT_IN, True),
        (TO, TO, True),
        (TO_IN, TO_IN, True),
        (FROM, FROM_OUT, True),
        (FROM_OUT, FROM_OUT, True),
        (BOTH, BOTH, True),
    ),
    # Appendix A.2.2.
    "unsubscribe": _rows(
        (NONE, NONE, True),
        (NONE_OUT, NONE, True),
        (NONE_IN, NONE_IN, True),
        (NONE_OUT_IN, NONE_IN, True),
        (TO, NONE, True),
        (TO_IN, NONE_IN, True),
        (FROM, FROM, True),
        (FROM_OUT, FROM, True),
        (BOTH, FROM, True),
    ),
    # Appendix A.2.3: without a request there is nothing to answer, but to approve beforehand (section 3.4).
    "subscribed": _rows(
        (NONE, NONE, False),
        (NONE_OUT, NONE_OUT, False),
        (NONE_IN, FROM, True),
        (NONE_OUT_IN, FROM_OUT, True),
        (TO, TO, False),
        (TO_IN, BOTH, True),
        (FROM, FROM, False),
        (FROM_OUT, FROM_OUT, False),
        (BOTH, BOTH, False),
    ),
    # Appendix A.2.4.
    "unsubscribed": _rows(
        (NONE, NONE, False),
        (NONE_OUT, NONE_OUT, False),
        (NONE_IN, NONE, True),
        (NONE_OUT_IN, NONE_OUT, True),
        (TO, TO, False),
        (TO_IN, TO, True),
        (FROM, NONE, True),
        (FROM_OUT, NONE_OUT, True),
        (BOTH, TO, True),
    ),
}

INBOUND: Final[Mapping[str, Mapping[State, Row]]] = {
    # Appendix A.3.1: a request is delivered once and kept until it is answered; one that was granted is answered again.
    "subscribe": _rows(
        (NONE, NONE_IN, True),
        (NONE_OUT, NONE_OUT_IN, True),
        (NONE_IN, NONE_IN, False),
        (NONE_OUT_IN, NONE_OUT_IN, False),
        (TO, TO_IN, True),
        (TO_IN, TO_IN, False),
        (FROM, FROM, False),
        (FROM_OUT, FROM_OUT, False),
        (BOTH, BOTH, False),
    ),
    # Appendix A.3.2.
    "unsubscribe": _rows(
        (NONE, NONE, False),
        (NONE_OUT, NONE_OUT, False),
        (NONE_IN, NONE, True),
        (NONE_OUT_IN, NONE_OUT, True),
        (TO, TO, False),
        (TO_IN, TO, True),
        (FROM, NONE, True),
        (FROM_OUT, NONE_OUT, True),
        (BOTH, TO, True),
    ),
    # Appendix A.3.3: an answer that nobody asked for changes nothing.
    "subscribed": _rows(
        (NONE, NONE, False),
        (NONE_OUT, TO, True),
        (NONE_IN, NONE_IN, False),
        (NONE_OUT_IN, TO_IN, True),
        (TO, TO, False),
        (TO_IN, TO_IN, False),
        (FROM, FROM, False),
        (FROM_OUT, BOTH, True),
        (BOTH, BOTH, False),
    ),
    # Appendix A.3.4.
    "unsubscribed": _rows(
        (NONE, NONE, False),
        (NONE_OUT, NONE, True),
        (NONE_IN, NONE_IN, False),
        (NONE_OUT_IN, NONE_IN, True),
        (TO, NONE, True),
        (TO_IN, NONE_IN, True),
        (FROM, FROM, False),
        (FROM_OUT, FROM, True),
        (BOTH, FROM, True),
    ),
}


class Step(NamedTuple):
    """What one subscription stanza does.

    `forward`: route it to the contact (outbound) or deliver it (inbound). `push`: the roster item looks different now.
    `reply`: the type of a presence to answer the contact with at once. `presence`: what the contact must now be sent of
    the account's presence: "available", "unavailable" or "".
    """

    new: State
    forward: bool
    push: bool
    reply: str = ""
    presence: str = ""


def step(state: State, outbound: bool, type: str) -> Step:
    """Apply one subscription stanza to a state. `type` is one of TYPES."""
    base = state._replace(approved=False)
    new, forward = (OUTBOUND if outbound else INBOUND)[type][base]
    approved = state.approved
    reply = ""
    if outbound and type == "subscribed" and base in (NONE, NONE_OUT, TO):
        approved = True  # section 3.4.2, rule 3
    elif outbound and type == "unsubscribed":
        approved = False  # section 3.4.2: so a pre-approval is cancelled
    elif not outbound and type == "subscribe" and (approved or base.from_):
        # Appendix A.3.1: what was approved before, or already granted, is answered by the server.
        new, forward, reply = base._replace(from_=True, in_=False), False, "subscribed"
    new = new._replace(approved=approved)
    presence = ""
    if reply or (new.from_ and not state.from_):
        presence = "available"  # sections 3.1.5 and 3.4.2
    elif state.from_ and not new.from_:
        presence = "unavailable"  # sections 3.2.2 and 3.3.3
    return Step(new, forward, new.visible != state.visible, reply, presence)


def removal(state: State) -> tuple[str, ...]:
    """The stanzas that removing a roster item sends to the contact (section 2.5.2); a request of theirs stays open."""
    types = []
    if state.to or state.out:
        types.append("unsubscribe")
    if state.from_:
        types.append("unsubscribed")
    return tuple(types)
