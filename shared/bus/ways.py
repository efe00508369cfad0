"""Who sends each item of the bus, and to whom: one table, which a test compares with the code.

A kind that is not built yet stands here once it sends or takes something. Answers of calls go back to whoever asked.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

from rookery.shared.bus import messages as m
from rookery.shared.bus.kinds import Kind, Notice, accepting, told


class Layer(Enum):
    """What sends and takes items besides the kinds: the bus itself, the cluster layer, the command line."""

    BUS = "bus"
    CLUSTER = "cluster"
    COMMAND = "command"


Party = Kind | Layer


class Way(NamedTuple):
    """From whom to whom an item goes; `answer`: it is the answer of a call."""

    senders: frozenset[Party]
    takers: frozenset[Party]
    answer: bool = False


def _way(senders: tuple[Party, ...], takers: tuple[Party, ...], answer: bool = False) -> Way:
    return Way(frozenset(senders), frozenset(takers), answer)


_EDGE, _ROUTER, _ROSTER = Kind.EDGE, Kind.ROUTER, Kind.ROSTER
_PRESENCE, _OFFLINE, _ACCOUNT = Kind.PRESENCE, Kind.OFFLINE, Kind.ACCOUNT
_MUC, _S2S, _PUBSUB, _COMPONENT = Kind.MUC, Kind.S2S, Kind.PUBSUB, Kind.COMPONENT
_WORKERS: Final = tuple(sorted(accepting()))
_BUS, _CLUSTER, _COMMAND = Layer.BUS, Layer.CLUSTER, Layer.COMMAND

#: Every item of the bus.
WAYS: Final[dict[type, Way]] = {
    m.Submit: _way((_EDGE,), (_ROUTER,)),
    m.Route: _way(
        (_EDGE, _ROUTER, *_WORKERS, _COMMAND),
        (_ROUTER, _MUC, _S2S, _PUBSUB, _COMPONENT, Kind.UPLOAD, Kind.PROXY),
    ),
    m.Unbind: _way((_EDGE,), (_ROUTER,)),
    m.Acked: _way((_EDGE,), (_ROUTER,)),
    m.ClientState: _way((_EDGE,), (_ROUTER,)),
    m.Mirror: _way((_EDGE, _ROUTER), (_ROUTER, _EDGE)),
    m.Copy: _way((_EDGE,), (_ROUTER,)),
    m.Frontier: _way((_EDGE,), (_ROUTER,)),
    m.Deliver: _way((_ROUTER,), (_EDGE,)),
    m.DeliverMany: _way((_ROUTER,), (_EDGE,)),
    # (a router or a room worker sends itself an empty one, to tell the custodians at the end of a turn)
    m.Accepted: _way((_ROUTER, *_WORKERS), (_EDGE, _ROUTER, _MUC)),
    m.Copied: _way((_ROUTER,), (_EDGE,)),
    m.Noted: _way((_ROUTER,), (_EDGE,)),
    m.End: _way((_ROUTER,), (_EDGE,)),
    m.Note: _way((_ROUTER,), (_EDGE,)),
    m.MirrorRequest: _way((_ROUTER,), (_EDGE,)),
    m.Fanout: _way((_ROUTER, _PRESENCE, _MUC, _PUBSUB, _COMMAND), (_ROUTER, _S2S, _COMPONENT)),
    m.FannedOut: _way((_ROUTER,), (_MUC,)),
    m.StillThere: _way((_PRESENCE,), (_ROUTER,)),
    m.ShowUsers: _way((_COMPONENT,), (_PRESENCE,)),
    m.Seen: _way((_ROUTER,), (_PRESENCE,)),
    m.Sighted: _way((_PRESENCE,), (_COMPONENT,)),
    m.CheckOccupants: _way((_MUC,), (_ROUTER,)),
    m.LastItems: _way((_PUBSUB,), (_ROUTER,)),
    m.Interest: _way((_ROUTER,), (_PUBSUB,)),
    m.TheirPresence: _way((_ROUTER,), (_PUBSUB,)),
    m.TheirAnswer: _way((_ROUTER,), (_PUBSUB,)),
    m.Missed: _way((_ROUTER,), (_PUBSUB,)),
    m.NoLongerAway: _way((_ROUTER,), (_PUBSUB,)),
    m.Notified: _way((_ROUTER,), (_PUBSUB,)),
    m.ToResources: _way((_ROSTER, _ACCOUNT), (_ROUTER,)),
    m.SendPresence: _way((_ROSTER, _PRESENCE, _ACCOUNT), (_ROUTER,)),
    m.AccountChanged: _way(
        (_ROSTER, _OFFLINE, _ACCOUNT, _PUBSUB, _COMMAND), tuple(told(Notice.ACCOUNT_CHANGED))
    ),
    m.Gated: _way((_PRESENCE,), (_ROUTER,)),
    m.Replay: _way((_OFFLINE,), (_ROUTER,)),
    m.ToSession: _way((_OFFLINE, _MUC), (_ROUTER,)),
    m.Handle: _way((_ROUTER, _ACCOUNT, _COMPONENT), (_ROSTER, _OFFLINE, _ACCOUNT, _PUBSUB, _COMPONENT)),
    m.Broadcast: _way((_ROUTER,), (_PRESENCE,)),
    m.SessionUp: _way((_ROUTER,), (_ROSTER, _OFFLINE)),
    m.Gate: _way((_ROUTER,), (_PRESENCE,)),
    m.Probe: _way((_ROUTER, _PRESENCE), (_PRESENCE,)),
    m.LastSeen: _way((_ROUTER,), (_ACCOUNT,)),
    m.RosterChanged: _way((_ROSTER,), (_PRESENCE, _PUBSUB)),
    m.RosterRead: _way((_ROSTER,), (_PRESENCE,)),
    m.ContactRemoved: _way((_ACCOUNT, _COMMAND), (*told(Notice.CONTACT_REMOVED), _MUC, _PUBSUB)),
    m.SharedContacts: _way((_ROSTER, _COMMAND), (_ROSTER,)),
    m.OperatorCommand: _way((_COMMAND,), (_ACCOUNT,)),
    m.TryRemote: _way((_COMMAND, _S2S), (_S2S,)),
    m.RemoteBroken: _way((_S2S,), (_MUC,)),
    m.ChangeAccount: _way((_EDGE,), (_ACCOUNT,)),
    m.AskInvitation: _way((_EDGE,), (_ACCOUNT,)),
    m.AskPuzzle: _way((_EDGE,), (_ACCOUNT,)),
    m.Invited: _way((_ACCOUNT,), (_EDGE,), answer=True),
    m.Puzzled: _way((_ACCOUNT,), (_EDGE,), answer=True),
    m.ComponentHere: _way((_COMPONENT,), (_COMPONENT,)),
    m.ComponentGone: _way((_COMPONENT,), (_COMPONENT,)),
    m.ToComponent: _way((_COMPONENT,), (_COMPONENT,)),
    m.ComponentAcked: _way((_COMPONENT,), (_COMPONENT,)),
    m.BoshAsk: _way((_EDGE,), (_EDGE,)),
    m.BoshTold: _way((_EDGE,), (_EDGE,)),
    m.Bind: _way((_EDGE,), (_ROUTER,)),
    m.Bound: _way((_ROUTER,), (_EDGE,), answer=True),
    m.AskArchive: _way((_EDGE,), (_OFFLINE,)),
    m.ArchiveEnds: _way((_OFFLINE,), (_EDGE,), answer=True),
    m.Enable: _way((_EDGE,), (_ROUTER,)),
    m.Enabled: _way((_ROUTER,), (_EDGE,), answer=True),
    m.Resume: _way((_EDGE,), (_ROUTER,)),
    m.Resumed: _way((_ROUTER,), (_EDGE,), answer=True),
    m.NotResumed: _way((_ROUTER,), (_EDGE,), answer=True),
    m.GetCredentials: _way((_EDGE,), (_ACCOUNT,)),
    m.Credentials: _way((_ACCOUNT,), (_EDGE,), answer=True),
    m.LoggedIn: _way((_EDGE,), (_ACCOUNT,)),
    m.AddKeys: _way((_EDGE,), (_ACCOUNT,)),
    m.Redeem: _way((_EDGE,), (_ACCOUNT,)),
    m.IssueToken: _way((_EDGE,), (_ACCOUNT,)),
    m.LoginToken: _way((_ACCOUNT,), (_EDGE,), answer=True),
    m.CheckLogin: _way((_EDGE,), (_ACCOUNT,)),
    m.LoginChecked: _way((_ACCOUNT,), (_EDGE,), answer=True),
    m.Register: _way((_EDGE,), (_ACCOUNT,)),
    m.Done: _way((_ACCOUNT, _ROSTER), (_EDGE, _ACCOUNT, _COMMAND), answer=True),
    m.GetDomains: _way((_EDGE,), (_ACCOUNT,)),
    m.Domains: _way((_ACCOUNT,), (_EDGE,), answer=True),
    m.ListSessions: _way((_COMMAND, _ACCOUNT), (_ROUTER,)),
    m.SessionList: _way((_ROUTER,), (_COMMAND, _ACCOUNT), answer=True),
    m.EndSessions: _way((_COMMAND, _ACCOUNT), (_ROUTER,)),
    m.Ended: _way((_ROUTER,), (_COMMAND, _ACCOUNT), answer=True),
    m.EditRoster: _way((_COMMAND, _ACCOUNT), (_ROSTER,)),
    m.DrainProcess: _way((_COMMAND,), (_CLUSTER,)),
    m.SetLogLevel: _way((_COMMAND,), (_CLUSTER,)),
    m.AskProcess: _way((_COMMAND,), (_CLUSTER,)),
    m.ProcessTold: _way((_CLUSTER,), (_COMMAND,), answer=True),
    m.AskRoom: _way((_COMMAND,), (_MUC,)),
    m.RoomTold: _way((_MUC,), (_COMMAND,), answer=True),
    m.Return: _way((_BUS,), (_BUS,)),
    m.Failed: _way((_BUS,), (_BUS,)),
    m.Refused: _way((_BUS,), (_BUS,)),
    m.Barrier: _way((_BUS,), (_BUS,)),
    m.Passed: _way((_BUS,), (_BUS,)),
    m.Granted: _way((_CLUSTER,), (_CLUSTER,)),
    m.Beat: _way((_CLUSTER,), (_CLUSTER, _COMMAND)),
    m.Holds: _way((_CLUSTER,), (_CLUSTER, _COMMAND)),
    m.Claimed: _way((_CLUSTER,), (_CLUSTER,)),
    m.AskHolds: _way((_CLUSTER, _COMMAND), (_CLUSTER,)),
    m.Left: _way((_CLUSTER, _COMMAND), (_CLUSTER,)),
    m.DomainsChanged: _way((_COMMAND, _COMPONENT), (_CLUSTER, _COMMAND)),
    m.Yield: _way((_CLUSTER,), (_CLUSTER,)),
}


def sent_by(party: Party) -> frozenset[type]:
    """What a kind or layer may send."""
    return frozenset(item for item, way in WAYS.items() if party in way.senders)


def taken_by(party: Party) -> frozenset[type]:
    """What a kind or layer must be able to take, answers of its own calls aside."""
    return frozenset(item for item, way in WAYS.items() if party in way.takers and not way.answer)
