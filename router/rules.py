"""Where a stanza for a local account goes: RFC 6121 section 8.5 as a table.

`ROWS` is the specification, one row for each cell, with its section. `MESSAGES`, `PRESENCES` and `IQS` are the same in the form
that the hot path reads: type -> actions indexed by `Case`.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple


class Case(IntEnum):
    """The situation of the addressed account: what `to` names, and which resources are there.

    Only available resources count for a bare JID; a full JID is matched by any bound ("connected") resource.
    """

    UNKNOWN_BARE = 0
    UNKNOWN_FULL = 1
    #: Bare JID, no available resource.
    NONE = 2
    #: Bare JID, every available resource has a negative priority.
    NEGATIVE = 3
    #: Bare JID, at least one available resource has a non-negative priority.
    SOME = 4
    #: Full JID that is bound.
    MATCH = 5
    #: Full JID that is not bound, with the account as in NONE, NEGATIVE, SOME.
    MISS_NONE = 6
    MISS_NEGATIVE = 7
    MISS_SOME = 8


#: From a bare JID's case to that of a full JID that no resource matches.
MISS: Final = {Case.NONE: Case.MISS_NONE, Case.NEGATIVE: Case.MISS_NEGATIVE, Case.SOME: Case.MISS_SOME}


class Action(IntEnum):
    """What the router does."""

    #: Give it to the resource that `to` names.
    DELIVER = 0
    #: Give it to the most available resources (highest non-negative priority; ties by configuration).
    BEST = 1
    #: Give it to all resources with a non-negative priority.
    EACH = 2
    #: Give it to all available resources.
    AVAILABLE = 3
    #: Keep it for offline delivery; what is not to be kept (XEP-0160, XEP-0334) is dropped.
    STORE = 4
    #: Answer service-unavailable.
    ERROR = 5
    IGNORE = 6
    #: The server answers on behalf of the account (iq).
    ANSWER = 7
    #: Subscription machine of the roster worker (section 3).
    SUBSCRIPTION = 8
    #: Presence probe (section 4.3).
    PROBE = 9


class Row(NamedTuple):
    """One cell: stanza kind, types ("" is absent), cases, action, section of RFC 6121."""

    kind: str
    types: tuple[str, ...]
    cases: tuple[Case, ...]
    action: Action
    section: str


_UNKNOWN = (Case.UNKNOWN_BARE, Case.UNKNOWN_FULL)
_MISS = (Case.MISS_NONE, Case.MISS_NEGATIVE, Case.MISS_SOME)
_KNOWN = (Case.NONE, Case.NEGATIVE, Case.SOME, Case.MATCH, *_MISS)
_SUBSCRIPTION = ("subscribe", "subscribed", "unsubscribe", "unsubscribed")
_AVAILABILITY = ("", "unavailable")
_REQUEST = ("get", "set")
_ANSWER = ("result", "error")

#: Where the RFC leaves a choice we choose the answer that loses nothing silently: an error rather than silence for what the
#: sender may believe delivered, storage rather than an error.
ROWS: Final[tuple[Row, ...]] = (
    # --- messages: the account does not exist
    Row("message", ("normal", "chat", "groupchat"), _UNKNOWN, Action.ERROR, "8.5.1"),
    Row("message", ("headline", "error"), _UNKNOWN, Action.IGNORE, "8.5.1"),
    # --- messages to a bare JID
    Row("message", ("normal",), (Case.SOME,), Action.BEST, "8.5.2.1.1"),
    Row("message", ("chat",), (Case.SOME,), Action.BEST, "8.5.2.1.1"),
    Row("message", ("groupchat",), (Case.SOME,), Action.ERROR, "8.5.2.1.1"),
    Row("message", ("headline",), (Case.SOME,), Action.EACH, "8.5.2.1.1"),
    Row("message", ("error",), (Case.SOME,), Action.IGNORE, "8.5.2.1.1"),
    Row("message", ("normal",), (Case.NEGATIVE,), Action.STORE, "8.5.2.1.1"),
    Row("message", ("chat",), (Case.NEGATIVE,), Action.STORE, "8.5.2.1.1"),
    Row("message", ("groupchat",), (Case.NEGATIVE,), Action.ERROR, "8.5.2.1.1"),
    Row("message", ("headline",), (Case.NEGATIVE,), Action.IGNORE, "8.5.2.1.1"),
    Row("message", ("error",), (Case.NEGATIVE,), Action.IGNORE, "8.5.2.1.1"),
    Row("message", ("normal",), (Case.NONE,), Action.STORE, "8.5.2.2.1"),
    Row("message", ("chat",), (Case.NONE,), Action.STORE, "8.5.2.2.1"),
    Row("message", ("groupchat",), (Case.NONE,), Action.ERROR, "8.5.2.2.1"),
    Row("message", ("headline",), (Case.NONE,), Action.IGNORE, "8.5.2.2.1"),
    Row("message", ("error",), (Case.NONE,), Action.IGNORE, "8.5.2.2.1"),
    # --- messages to a full JID
    Row(
        "message",
        ("normal", "chat", "groupchat", "headline", "error"),
        (Case.MATCH,),
        Action.DELIVER,
        "8.5.3.1",
    ),
    Row("message", ("normal",), _MISS, Action.ERROR, "8.5.3.2.1"),
    Row("message", ("chat",), (Case.MISS_NONE,), Action.STORE, "8.5.3.2.1"),
    Row("message", ("chat",), (Case.MISS_NEGATIVE,), Action.STORE, "8.5.3.2.1"),
    Row("message", ("chat",), (Case.MISS_SOME,), Action.BEST, "8.5.3.2.1"),
    # A room learns from this error that its occupant is gone.
    Row("message", ("groupchat",), _MISS, Action.ERROR, "8.5.3.2.1"),
    Row("message", ("headline",), _MISS, Action.IGNORE, "8.5.3.2.1"),
    Row("message", ("error",), _MISS, Action.IGNORE, "8.5.3.2.1"),
    # --- presence
    Row("presence", _AVAILABILITY, _UNKNOWN, Action.IGNORE, "8.5.1"),
    Row("presence", _SUBSCRIPTION, _UNKNOWN, Action.IGNORE, "8.5.1"),
    # The presence worker answers `unsubscribed`, as to a stranger's probe of an existing account.
    Row("presence", ("probe",), _UNKNOWN, Action.PROBE, "4.3.2"),
    Row("presence", _AVAILABILITY, (Case.SOME, Case.NEGATIVE), Action.AVAILABLE, "8.5.2.1.2"),
    Row("presence", _AVAILABILITY, (Case.NONE,), Action.IGNORE, "8.5.2.2.2"),
    Row("presence", _AVAILABILITY, (Case.MATCH,), Action.DELIVER, "8.5.3.1"),
    Row("presence", _AVAILABILITY, _MISS, Action.IGNORE, "8.5.3.2.2"),
    Row("presence", _SUBSCRIPTION, _KNOWN, Action.SUBSCRIPTION, "8.5.2.1.2, 8.5.2.2.2, 8.5.3.2.2"),
    Row("presence", ("probe",), _KNOWN, Action.PROBE, "8.5.2.1.2, 8.5.2.2.2, 8.5.3.2.2"),
    # Presence errors are for the stream that sent the presence (RFC 6120 section 8.3.1).
    Row("presence", ("error",), (Case.MATCH,), Action.DELIVER, "8.5.3.1"),
    Row(
        "presence",
        ("error",),
        (*_UNKNOWN, Case.NONE, Case.NEGATIVE, Case.SOME, *_MISS),
        Action.IGNORE,
        "8.5.3.2.2",
    ),
    # --- iq
    # The way of a request to somebody else's account, so that neither the answer nor its time tells which accounts exist.
    Row("iq", _REQUEST, (Case.UNKNOWN_BARE,), Action.ANSWER, "8.5.1"),
    Row("iq", _REQUEST, (Case.UNKNOWN_FULL,), Action.ERROR, "8.5.1"),
    Row("iq", _REQUEST, (Case.NONE, Case.NEGATIVE, Case.SOME), Action.ANSWER, "8.5.2.1.3, 8.5.2.2.3"),
    Row("iq", _REQUEST, (Case.MATCH,), Action.DELIVER, "8.5.3.1"),
    Row("iq", _REQUEST, _MISS, Action.ERROR, "8.5.3.2.3"),
    Row("iq", _ANSWER, (Case.MATCH,), Action.DELIVER, "8.5.3.1"),
    Row(
        "iq",
        _ANSWER,
        (*_UNKNOWN, Case.NONE, Case.NEGATIVE, Case.SOME, *_MISS),
        Action.IGNORE,
        "8.5.1, 8.5.3.2.3",
    ),
)

Actions = tuple[Action, ...]


def compile_rows(rows: tuple[Row, ...], kind: str) -> dict[str, Actions]:
    """type -> actions by case, for one stanza kind. Raises ValueError for a cell that is missing or there twice."""
    cells: dict[str, dict[Case, Action]] = {}
    for row in rows:
        if row.kind != kind:
            continue
        for type in row.types:
            for case in row.cases:
                if cells.setdefault(type, {}).setdefault(case, row.action) is not row.action:
                    raise ValueError(f"two rows for {kind} {type!r} {case.name}")
    for type, by_case in cells.items():
        if missing := set(Case) - set(by_case):
            raise ValueError(f"no row for {kind} {type!r}: {sorted(missing)}")
    return {type: tuple(by_case[case] for case in Case) for type, by_case in cells.items()}


MESSAGES: Final = compile_rows(ROWS, "message")
PRESENCES: Final = compile_rows(ROWS, "presence")
IQS: Final = compile_rows(ROWS, "iq")
#: A message without a type, or with one that we do not know, is a normal one (RFC 6121 section 5.2.2).
NORMAL: Final[Actions] = MESSAGES["normal"]
#: Presence that asks for or settles a subscription (RFC 6121 section 3).
SUBSCRIPTIONS: Final = frozenset(_SUBSCRIPTION)
