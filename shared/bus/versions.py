"""How this version writes for the previous one (ADR-0004).

While a process of the previous version lives, everybody writes what that one reads: of each item the fields that it knew, and no
item that it did not know. `KNOWN` is the whole difference; what does not stand in it is the same in both versions. A change of an
item gets a new `VERSION` and a line here, with what happens while the other side does not get it:

| since | what | without it |
|---|---|---|
| 3 | `DeliverMany.origin_stream`, `origin_n` | after a takeover a message to many may come twice to those whose router died |
| 3 | `Fanout.origin`, `runs` | a router knows no full JIDs among the recipients, and may give a message twice after a takeover |
| 3 | `Mirror.iqs` | a request or an answer that was written just before its router died may be given twice |
| 3 | `Mirror.given` | a message that its sender sends again long after may be given twice when its router died |
| 3 | `Frontier.taken`, `Management.answered` | a request that a client sends again when it resumes may get a time-out behind its answer |
| 3 | `Beat.about` | `rookery status` does not show host, pid, ports and age of a process |
| 3 | `Claimed` | a holder that was deposed goes on until its successor serves, or its fence refuses a write |
| 3 | `MirrorSession.heard`, `Resumed.heard`, `ToSession.origin`, `ToSession.entrance`, `ToSession.stream` | what a room says may come twice to those whose router died |
| 3 | `StillThere` | a resource whose edge and router died at once stays available to its subscribers |
| 3 | `ShowUsers` | a component that comes later than users does not see them before they come again |
| 3 | `Seen`, `Sighted` | a component is not told of the presence of users' contacts |
| 3 | `FannedOut`, `CheckOccupants` | there are no rooms while a process of the former version lives |
| 3 | `Fanout.notify`, `Interest`, `LastItems` | no client is notified of nodes that it is not subscribed to |
| 3 | `Missed`, `NoLongerAway`, `Notified` | no phone is notified while a process of the former version lives |
| 3 | `OperatorCommand` | no log line tells which operator has changed what |
| 3 | `TryRemote` | `rookery s2s retry` does nothing, nor does a domain that comes by itself: it is tried when its pause is over |
| 3 | `BoshAsk`, `BoshTold` | a request of BOSH that reaches another edge than that of its session waits in vain; version 2 has no such sessions |
| 3 | `ChangeAccount` | the page of accounts asks to try again |
| 3 | `AskPuzzle`, `Puzzled`, `Register.puzzle`, `Domains.puzzles` | a domain that asks people who make accounts lets nobody in until all are new |
| 3 | `Domains.delegating` | the capabilities that an edge tells of a domain that delegates are those without its components |
| 3 | `AskInvitation`, `Invited`, `Register.token` | an invitation is refused until the worker is new |
| 3 | `Domains.kinds` | an edge takes every hosted domain for one with accounts; their routers know better |
| 3 | `ListSessions`, `SessionList`, `EndSessions`, `Ended` | operators cannot see or end sessions of a router of version 2 |
| 3 | `EditRoster`, `DrainProcess`, `SetLogLevel` | operators cannot do this to a process of version 2: they are told so, or nothing happens |
| 3 | `AskProcess`, `ProcessTold` | operators do not see what a process of version 2 has in memory |
| 3 | `AskRoom`, `RoomTold` | operators cannot change rooms; there are none, either |
| 3 | `CheckLogin`, `LoginChecked`, `Domains.logins` | nobody logs in to a domain whose passwords are kept elsewhere |
| 3 | `Redeem`, `IssueToken`, `LoginToken` | clients get no tokens, and those that they have are refused for a while: they log in with their passwords |
| 3 | `ComponentHere`, `ComponentGone`, `ToComponent`, `ComponentAcked` | what is for a component waits while a process of the former version lives |
| 3 | `SharedContacts` | a change of a shared group is seen at the next login, and presence follows within five minutes |
| 3 | `Bind.marks` | a client of Bind 2 has no carbons until it asks for them again |
| 3 | `AskArchive`, `ArchiveEnds`, `Bound.owed` | a client of Bind 2 is told nothing of its archive, and gets offline messages as others do |
| 3 | `LoggedIn`, `GetCredentials.address`, `.agent` | guesses at a password are slowed down by their address alone |
| 3 | `AddKeys`, `Credentials.missing` | no client is asked for the keys that its account lacks |
| 3 | `RosterRead`, `Probe.open` | the presence worker reads the roster itself, and asks about each contact |
| 3 | `TheirPresence`, `TheirAnswer` | contacts at other servers are told what they subscribe to |
| 3 | `RemoteBroken` | occupants whose server was restarted stay in a room until something is said there |

Version 3 also gives `Origin.edge` another meaning in the same place: it is the custodian. A process of version 2 passes on what it got and keeps
nothing: acceptance then goes past it to the custodian before it, and what it had under way is sent again after 15 s (`shared.custody`).
"""

from __future__ import annotations

import typing
from collections.abc import Callable
from typing import Any, Final

from rookery.shared.bus.messages import (
    TAGS,
    VERSION,
    AddKeys,
    ArchiveEnds,
    AskArchive,
    AskInvitation,
    AskProcess,
    AskPuzzle,
    AskRoom,
    Beat,
    Bind,
    BoshAsk,
    BoshTold,
    Bound,
    ChangeAccount,
    CheckLogin,
    CheckOccupants,
    Claimed,
    ComponentAcked,
    ComponentGone,
    ComponentHere,
    Credentials,
    DeliverMany,
    Domains,
    DrainProcess,
    EditRoster,
    Ended,
    EndSessions,
    FannedOut,
    Fanout,
    Frontier,
    GetCredentials,
    Interest,
    Invited,
    IssueToken,
    Item,
    LastItems,
    ListSessions,
    LoggedIn,
    LoginChecked,
    LoginToken,
    Management,
    Mirror,
    MirrorSession,
    Missed,
    NoLongerAway,
    Notified,
    OperatorCommand,
    Probe,
    ProcessTold,
    Puzzled,
    Redeem,
    Refused,
    Register,
    RemoteBroken,
    Resumed,
    Return,
    RoomTold,
    RosterRead,
    Seen,
    SessionList,
    SetLogLevel,
    SharedContacts,
    ShowUsers,
    Sighted,
    StillThere,
    TheirAnswer,
    TheirPresence,
    ToComponent,
    ToSession,
    TryRemote,
)

#: The oldest version that this one reads and can write.
OLDEST: Final = max(1, VERSION - 1)
#: What OLDEST knew of the types that have changed since: the number of their first fields, None for a type that it did not have.
KNOWN: Final[dict[type, int | None]] = {
    Beat: 5,
    CheckOccupants: None,
    AddKeys: None,
    Credentials: 6,
    GetCredentials: 2,
    LoggedIn: None,
    AskArchive: None,
    ArchiveEnds: None,
    Bind: 5,
    Bound: 4,
    Claimed: None,
    DeliverMany: 2,
    FannedOut: None,
    Fanout: 2,
    Frontier: 4,
    Management: 7,
    Mirror: 5,
    MirrorSession: 10,
    Resumed: 8,
    ToSession: 3,
    Domains: 1,
    Interest: None,
    LastItems: None,
    Missed: None,
    NoLongerAway: None,
    Notified: None,
    ListSessions: None,
    SessionList: None,
    StillThere: None,
    Seen: None,
    ShowUsers: None,
    Sighted: None,
    EndSessions: None,
    Ended: None,
    EditRoster: None,
    DrainProcess: None,
    SetLogLevel: None,
    SharedContacts: None,
    Probe: 2,
    TheirPresence: None,
    TheirAnswer: None,
    RosterRead: None,
    AskProcess: None,
    ProcessTold: None,
    OperatorCommand: None,
    AskRoom: None,
    RoomTold: None,
    TryRemote: None,
    RemoteBroken: None,
    Redeem: None,
    IssueToken: None,
    LoginToken: None,
    CheckLogin: None,
    LoginChecked: None,
    ComponentHere: None,
    ComponentGone: None,
    ToComponent: None,
    ComponentAcked: None,
    BoshAsk: None,
    BoshTold: None,
    ChangeAccount: None,
    AskInvitation: None,
    AskPuzzle: None,
    Puzzled: None,
    Invited: None,
    Register: 5,
}

Narrow = Callable[[Any], Any]


class Unspoken(LookupError):  # noqa: N818  says what it is
    """The other side's version has no such item."""


def narrowed(item: Item) -> tuple[Any, ...]:
    """The fields of `item` that OLDEST knew. Raises Unspoken for an item that it did not have."""
    narrow = _NARROW.get(type(item))
    if narrow is None:
        return item
    return tuple(narrow(item))


def narrower(cls: Any, known: dict[type, int | None]) -> Narrow | None:
    """What cuts a NamedTuple, and those within it, down to what is `known`; None when there is nothing to cut."""
    keep = known.get(cls, len(cls._fields))
    if keep is None:
        return _refuse
    hints = typing.get_type_hints(cls)
    cuts = [(i, _within(hints[name], known)) for i, name in enumerate(cls._fields[:keep])]
    inner = [(i, each) for i, each in cuts if each is not None]
    if keep == len(cls._fields) and not inner:
        return None

    def cut(item: Any) -> Any:
        fields = list(item[:keep])
        for i, each in inner:
            fields[i] = each(fields[i])
        return fields

    return cut


def _within(hint: Any, known: dict[type, int | None]) -> Narrow | None:
    """The same for the type of a field: a NamedTuple, a tuple with one in it, or a sequence of either."""
    if isinstance(hint, type) and issubclass(hint, tuple) and hasattr(hint, "_fields"):
        return narrower(hint, known)
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple and args and args[-1] is not Ellipsis:
        parts = [_within(arg, known) for arg in args]
        if not any(parts):
            return None
        return lambda value: [v if part is None else part(v) for v, part in zip(value, parts, strict=True)]
    if args and (each := _within(args[0], known)) is not None:
        return lambda value: [each(v) for v in value]
    return None


def _refuse(item: Any) -> Any:
    raise Unspoken(type(item).__name__)


def _carrier(item: Any) -> Any:
    """An answer or a refused item carries another one in `fields`."""
    inner = item.fields
    return item if type(inner) not in TAGS else item._replace(fields=narrowed(inner))


_NARROW: Final[dict[type, Narrow]] = {
    cls: cut for cls in TAGS if (cut := narrower(cls, KNOWN)) is not None
} | {Return: _carrier, Refused: _carrier}
