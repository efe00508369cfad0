"""What processes say to each other: every item of the bus and its wire tag. `shared.bus.ways` says who may send each to whom.

An item is a NamedTuple of plain values, so a batch packs it as it is. The wire form of a batch is described in
`shared.bus.batch`. Fields may only be added at the end, with a default, under a new `VERSION` and with a line in
`shared.bus.versions`; a reader accepts this version and the previous one.

Words: *account* is a prepared bare JID; *full* a prepared full JID; *sid* is the edge's own number for a stream, *grant*
the number that the router gave to that binding (`epoch << 32 | counter`): the higher grant wins a resource.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from rookery.shared.bus.kinds import Kind as Kind
from rookery.shared.xmpp.stanza import Stanza

#: The version of the envelope and of the items. Readers accept VERSION and VERSION - 1.
VERSION: Final = 3


class Origin(NamedTuple):
    """Where a stanza came into the cluster: (stream, n) is its uid. `custodian` keeps it until it hears `Accepted` of it.

    The custodian is the process that has passed the stanza on last: its edge first, then each hop that hands it to another one; empty
    when nobody keeps it. Whoever takes a stanza over tells the custodian that it came with, and puts itself there for the next hop.
    `deadline` is in Unix milliseconds (0: none); `trace` is 0 (former versions read five fields). A stanza that the server
    made by itself has NOBODY as origin.
    """

    stream: bytes
    n: int
    custodian: str
    deadline: int = 0
    trace: int = 0


NOBODY: Final = Origin(b"", 0, "")
#: What the stream of a room begins with; the room's JID follows. Its numbers grow, and whoever has heard one has heard all before it.
ROOM: Final = b"room:"
#: What the ids of requests begin with that a router makes, and whose answers it wants.
ROUTER_ASKS: Final = "caps:"
#: What the stream of a node's notifications begins with; the number of the node follows.
NODE: Final = b"node:"


def ending(stream: bytes) -> Origin:
    """The origin of what tells rooms that a session is over: no uid (numbers of stanzas begin with 1), but which session it was."""
    return Origin(stream, 0, "")


def answering(origin: Origin) -> Origin:
    """The uid of the one answer that a request gets, whoever gives it, and however often."""
    return Origin(b"answer:" + origin.stream, origin.n, "") if origin.stream else NOBODY


# --- edge -> router ---------------------------------------------------------------------------------------------------


class Submit(NamedTuple):
    """A bound stream sent a stanza that its own account's router handles first.

    That is everything without `to`, to the own bare JID or to a local domain, and every presence.
    """

    origin: Origin
    full: str
    grant: int
    stanza: Stanza


class Route(NamedTuple):
    """Deliver `stanza` to `stanza.to` by RFC 6121 section 8 (from an edge directly, or from any kind)."""

    origin: Origin
    stanza: Stanza


class Unbind(NamedTuple):
    """A stream has ended. Ignored when `grant` is not the resource's current grant.

    `resumable`: its client did not close it and may resume it (XEP-0198 section 6): the session goes on without a socket.
    """

    full: str
    grant: int
    reason: str
    resumable: bool = False


class Frontier(NamedTuple):
    """Everything up to inbound number `n` of a resumable stream is handled; answered `Noted` once that is recorded.

    `requests` are the iq requests of its client that wait for an answer: (id, `to` or "" for the account, deadline in Unix
    milliseconds). Whoever resumes the stream goes on waiting. `taken` is the highest inbound number that has come.
    """

    full: str
    grant: int
    n: int
    requests: Sequence[tuple[str, str, int]] = ()
    taken: int = 0


class Acked(NamedTuple):
    """All deliveries up to and including `n` have left the server (no SM: written to the socket; SM: the client's h)."""

    full: str
    grant: int
    n: int


class ClientState(NamedTuple):
    """The client of this session says that nobody looks at it, or that somebody does again (XEP-0352)."""

    full: str
    grant: int
    active: bool


class Management(NamedTuple):
    """What makes a stream resumable (XEP-0198): its `token`, how many seconds without a socket it lives, and its numbers.

    `base_in` and `base_out` are the inbound and outbound numbers at which the client's counting began; `frontier` is the highest
    inbound number that is recorded as handled; `requests` as in Frontier; `asleep`: its socket is gone. `answered` are requests, (id,
    `to` or "" for the account), that have had their answer, though their numbers may be above `frontier`: a client that resumes sends
    those again, and is not answered again.
    """

    token: bytes
    seconds: int
    base_in: int
    base_out: int
    frontier: int
    requests: Sequence[tuple[str, str, int]] = ()
    asleep: bool = False
    answered: Sequence[tuple[str, str]] = ()


class Mirror(NamedTuple):
    """An edge's answer to MirrorRequest: its sessions of one partition, in chunks; `last` ends the answer.

    `late` are messages (origin stream, origin n, stanza) that were delivered and acknowledged lately, perhaps before their commit;
    `iqs` are the uids of requests and answers of which the same is true: each is given once; `given` those of messages, for longer: what is
    stored of these is not given again. An edge that ends gives all this to another edge, which tells it in its place; so
    does a router whose session goes on at another edge.
    """

    edge: str
    partition: int
    sessions: Sequence[MirrorSession]
    last: bool
    late: Sequence[tuple[bytes, int, Stanza]] = ()
    iqs: Sequence[tuple[bytes, int]] = ()
    given: Sequence[tuple[bytes, int]] = ()


class Copy(NamedTuple):
    """A message that the edge gave to another account's router as Route, for its sender's archive and carbons.

    Only while the session's Bound or Note says `copies`. The sender's router answers Copied: both that and Accepted make the
    stanza handled.
    """

    origin: Origin
    full: str
    grant: int
    stanza: Stanza


class MirrorSession(NamedTuple):
    """One session as its edge knows it.

    `note` is what the router last stored with Note; `inflight` are deliveries (n, origin stream, origin n) above `acked`, and below
    it stored messages (n, b"", archive id) that were written lately and that the router may not have settled. `stanzas` is (n, stanza)
    of those messages in flight that the edge can still tell. `managed` has one Management when the stream is resumable: then
    `stanzas` has all that is in flight, and a session with more of them than fit into one item is told in several, one after the other.
    `heard` are (stream of a room, the highest of its numbers) at or below `acked`.
    """

    sid: int
    stream: bytes
    full: str
    grant: int
    n: int
    acked: int
    note: bytes
    inflight: Sequence[tuple[int, bytes, int]]
    stanzas: Sequence[tuple[int, Stanza]] = ()
    managed: Sequence[Management] = ()
    heard: Sequence[tuple[bytes, int]] = ()


# --- router -> edge ---------------------------------------------------------------------------------------------------


class Deliver(NamedTuple):
    """Write `stanza` to stream `sid`. `n` is the dense per-session number; a hole means that something was lost."""

    sid: int
    grant: int
    n: int
    origin_stream: bytes
    origin_n: int
    stanza: Stanza


class DeliverMany(NamedTuple):
    """One stanza for many streams of this edge: targets are (sid, grant, n, to); its uid is the same for all."""

    stanza: Stanza
    targets: Sequence[tuple[int, int, int, str]]
    origin_stream: bytes = b""
    origin_n: int = 0


class Accepted(NamedTuple):
    """To a custodian: others have taken responsibility for these stanzas, (stream, n); to an edge also n = 0, for a stream's end."""

    uids: Sequence[tuple[bytes, int]]


class Copied(NamedTuple):
    """The sender's own router has done (and committed) what it owes to these stanzas: (stream, n)."""

    uids: Sequence[tuple[bytes, int]]


class Noted(NamedTuple):
    """The router has recorded the frontier `n`: the client may be told (`<a h>`).

    `stored`: the session, whose socket is gone, is in the database now: its former edge need not keep its mirror.
    """

    sid: int
    grant: int
    n: int
    stored: bool = False


class End(NamedTuple):
    """Close stream `sid` with a stream error (conflict, reset, policy-violation ...).

    `stream` names it where the router does not know the sid: the sender of a Submit whose grant is not current.
    """

    sid: int
    grant: int
    condition: str
    text: str
    stream: bytes = b""


class Note(NamedTuple):
    """The router's own small state of a session, opaque to the edge, which hands it back in MirrorSession.

    `own_first` and `copies` as in Bound, from now on.
    """

    sid: int
    grant: int
    note: bytes
    own_first: bool = False
    copies: bool = False


class MirrorRequest(NamedTuple):
    """A new holder of a router partition asks every edge for its sessions of that partition, before it delivers."""

    partition: int
    epoch: int
    router: str


# --- any kind -> router -----------------------------------------------------------------------------------------------


class Fanout(NamedTuple):
    """One stanza for many, from a worker: one item for each router process, whatever the partitions (`shared.cluster.fanout`).

    A presence for a bare JID goes to the account's available resources, a message for one is routed as any other; a full JID is that
    resource or nobody. With `notify` it is for those available resources of bare JIDs alone whose clients want notifications of the node
    of this name (XEP-0163). `origin` is the uid, by which each recipient is given it once; numbers of its stream grow. `runs` are
    (partition, epoch, how many recipients), in the order of the recipients; without, all are of the partition that the item is posted to.
    """

    stanza: Stanza
    recipients: Sequence[str]
    origin: Origin = NOBODY
    runs: Sequence[tuple[int, int, int]] = ()
    notify: str = ""


class ToResources(NamedTuple):
    """Give `stanza` to an account's resources. `which`: "interested" (roster pushes), "available" or "all".

    It may also be another mark that a registry entry sets (`Forward.marks`: "blocklist"), or the full JID of one resource.
    `to` becomes each full JID, except that of presence, which keeps the bare one (RFC 6121 section 8.5.2.1.2); an iq of type set
    gets an id of its own for each.
    """

    account: str
    which: str
    stanza: Stanza


class SendPresence(NamedTuple):
    """Send the last presence of each available resource of `account` to `to` (or unavailable from each)."""

    account: str
    to: str
    available: bool
    #: Answer with one `unavailable` from the bare JID when no resource is available (RFC 6121 section 4.3.2).
    probe: bool = False


class AccountChanged(NamedTuple):
    """Committed change of an account: "created", "removed", "password", "blocklist", "disabled", "enabled", "avatar", "push",
    "roster".

    `full` is the resource that asked for it, if one did: a new password does not end its session.
    """

    account: str
    what: str
    full: str = ""


class Gated(NamedTuple):
    """The presence worker allows this subscribers-only iq (see Gate)."""

    origin: Origin
    account: str
    stanza: Stanza


class Replay(NamedTuple):
    """Stored messages for one resource, oldest first: (archive id, stanza with its delay stamp); `last` ends the flush."""

    full: str
    grant: int
    rows: Sequence[tuple[int, Stanza]]
    last: bool


class ToSession(NamedTuple):
    """Give these stanzas to one session, in order (answers that are many stanzas). Ignored when `grant` is not its grant.

    `grant` 0 is whatever session has the resource now. With an `origin` they are given once, as in Fanout. `entrance`: a room lets the
    session in with them; what the room says to that full JID before is not for it. `stream` says which session that is (empty: whatever
    wants to be in).
    """

    full: str
    grant: int
    stanzas: Sequence[Stanza]
    origin: Origin = NOBODY
    entrance: bool = False
    stream: bytes = b""


class CheckOccupants(NamedTuple):
    """A room asks which of its occupants, full JIDs of one partition, are still there.

    For each that has no session, or has not sent its presence to the room, the router sends the room `unavailable`. `streams` says for
    each of them in which session it came in (`Origin.stream`; empty: nobody knows): while that one is there, it is in the room.
    """

    room: str
    occupants: Sequence[str]
    streams: Sequence[bytes]


class StillThere(NamedTuple):
    """A presence worker asks which of these resources, full JIDs of one partition, are still available.

    For each that is not, the router broadcasts that it went away.
    """

    resources: Sequence[str]


class ShowUsers(NamedTuple):
    """A component that may see the users of a domain is there (XEP-0356 section 7): show it all who are available."""

    component: str
    domain: str


class TheirPresence(NamedTuple):
    """Presence of a user of another server came for an account: its client's capabilities (XEP-0115, XEP-0390; fields as in
    `shared.xeps.client_caps.Caps`), or, with an empty `ver`, the resource is gone."""

    account: str
    full: str
    hash: str
    ver: str
    node: str
    second: bool = False


class TheirAnswer(NamedTuple):
    """A client at another server has answered what its capabilities are: the encoded query, empty for an error."""

    account: str
    full: str
    id: str
    query: bytes


class Seen(NamedTuple):
    """Presence of somebody at another server has come to an account whose domain has a component that may hear of it (XEP-0356 section 7.4)."""

    account: str
    stanza: Stanza


class Sighted(NamedTuple):
    """Presence of somebody whom users see, for a component that may hear of it; the same of several users is given to it once."""

    component: str
    stanza: Stanza


class LastItems(NamedTuple):
    """The last items of nodes for a session that wants them: (stream, n, notification), whose uid is that of the publication.

    One that the session has, or that is older than what it has of the node, is not given. Ignored when `stream` is not the session's.
    """

    full: str
    stream: bytes
    items: Sequence[tuple[bytes, int, Stanza]]


# --- router -> worker -------------------------------------------------------------------------------------------------


class FannedOut(NamedTuple):
    """`router` has given everything of these rooms' streams, up to and including a number, to edges: (stream, n).

    It is told some time after each Fanout and ToSession of a room, to the holder of the room.
    """

    router: str
    heard: Sequence[tuple[bytes, int]]


class Handle(NamedTuple):
    """Handle `stanza` on behalf of `account` (the partition key): an iq for this kind, or subscription presence.

    `outbound` is True when `account` sent it (RFC 6121 section 3: outbound processing), False when it arrived for it.
    """

    origin: Origin
    account: str
    full: str
    outbound: bool
    stanza: Stanza


class Broadcast(NamedTuple):
    """A resource of `account` sent presence without `to`, or went away: tell the subscribers.

    `initial` also probes the contacts (RFC 6121 section 4.2.2) on behalf of `full`; `quiet` does only that.
    """

    account: str
    full: str
    stanza: Stanza
    initial: bool
    quiet: bool = False


class SessionUp(NamedTuple):
    """A resource became available: roster delivers pending requests, offline flushes when `priority` >= 0.

    Offline answers each with one Replay: the page of owed messages whose archive id is above `after`.
    """

    account: str
    full: str
    grant: int
    priority: int
    after: int = 0


class Interest(NamedTuple):
    """A resource became available, or its client changed: it wants notifications of nodes of these names (XEP-0163 section 4.3).

    It is answered by LastItems, if there are any.
    """

    account: str
    full: str
    stream: bytes
    names: Sequence[str]


class Missed(NamedTuple):
    """Clients with these resources were not there for `messages` messages, of which the last is from `sender` (XEP-0357).

    `sender` and `body` are what may be told to others, "" otherwise; `urgent`: it is about a call.
    """

    account: str
    resources: Sequence[str]
    messages: int
    sender: str
    body: str
    urgent: bool = False


class NoLongerAway(NamedTuple):
    """A client that is notified is there again: what it has missed counts from zero."""

    account: str
    resource: str


class Notified(NamedTuple):
    """An app server has answered the notification with this `id`: `error` is its type and condition, empty when it took it."""

    account: str
    service: str
    id: str
    error: Sequence[str] = ()


class Gate(NamedTuple):
    """An iq for `account` that only a subscriber may have answered: the presence worker answers Gated or an error."""

    origin: Origin
    account: str
    stanza: Stanza


class Probe(NamedTuple):
    """A presence probe from `from_` for `account` (RFC 6121 section 4.3).

    `open`: Postgres said a moment ago that the account lets the asker see it. Who has heard of no change since needs not ask again.
    """

    from_: str
    account: str
    open: bool = False


class LastSeen(NamedTuple):
    """The last available resource of `account` went away at `at` (Unix milliseconds) with this status (XEP-0012)."""

    account: str
    at: int
    status: str


# --- worker -> worker -------------------------------------------------------------------------------------------------


class RosterChanged(NamedTuple):
    """The roster worker committed a change: `subscription` is none, to, from, both or remove."""

    account: str
    contact: str
    subscription: str


class RosterRead(NamedTuple):
    """The roster worker has read the whole roster of an account: bare JIDs that see it and that it sees, and its block list.

    `open` are accounts among those that it sees which let it. The account's presence comes next: its worker need not read all that once more.
    """

    account: str
    seen_by: Sequence[str]
    sees: Sequence[str]
    blocked: Sequence[str]
    open: Sequence[str]


class ContactRemoved(NamedTuple):
    """The account `contact` is gone, and so is, committed, its subscription in the roster of `account`: tell its resources.

    For rooms and nodes `account` is a room, or an owner of nodes, in whose lists it was: who has its name next is somebody else.
    """

    account: str
    contact: str


class SharedContacts(NamedTuple):
    """Committed: groups have changed what these accounts, all of one partition, see of these contacts. Who is in which group, Postgres tells."""

    accounts: Sequence[str]
    contacts: Sequence[str]


class OperatorCommand(NamedTuple):
    """An operator has changed something by a command, and it is committed: for the log. `at` in Unix seconds.

    `detail` says what was set, in words; never a password.
    """

    operator: str
    command: str
    target: str
    detail: str
    at: int


# --- command line -> worker, and between workers for other servers ----------------------------------------------------


class TryRemote(NamedTuple):
    """This remote domain is to be tried now, whatever has failed before: the operator wants it, or it has come by itself."""

    domain: str


class RemoteBroken(NamedTuple):
    """The stream to this remote domain has broken: sessions there may have ended without a word. Said to each process that holds rooms."""

    domain: str


# --- components (XEP-0114) -------------------------------------------------------------------------------------------


class ComponentHere(NamedTuple):
    """A component has a connection, number `connection` of `process`: said to the holder of its domain when it comes, and each second."""

    domain: str
    process: str
    connection: int


class ComponentGone(NamedTuple):
    """That connection has ended: what was sent on it and is not acknowledged goes elsewhere."""

    domain: str
    process: str
    connection: int


class ToComponent(NamedTuple):
    """Write this stanza to a connection of the process that gets it; it is number `n` of what the holder's link `link` sent there.

    `holder` is the process that hears of it; a later link of the domain ends what an earlier one counted.
    """

    domain: str
    connection: int
    holder: str
    link: int
    n: int
    stanza: Stanza


class ComponentAcked(NamedTuple):
    """The component has the first `n` stanzas that the link has sent on this connection."""

    domain: str
    process: str
    connection: int
    link: int
    n: int


# --- requests with an answer (Bus.call) -------------------------------------------------------------------------------


class Bind(NamedTuple):
    """Bind a resource for an authenticated stream (RFC 6120 section 7); `resource` is "" when the server shall choose."""

    account: str
    resource: str
    edge: str
    sid: int
    stream: bytes
    #: What the session asks for at once (XEP-0386): names of the registry (`Forward.marks`), carbons alone for now. With
    #: `message_archive.MARK` the answer waits for the commit of what other sessions were given before.
    marks: Sequence[str] = ()


class Bound(NamedTuple):
    """Answer to Bind: the full JID and the grant.

    `own_first`: the account has a block list, so the edge sends everything as Submit: its own router must refuse what goes to
    blocked contacts (XEP-0191 section 3.3).

    `copies`: the account archives what it sends, or another resource wants carbons: the edge also posts a Copy of each message.

    `owed`: offline messages wait, and no other session is being given them.
    """

    full: str
    grant: int
    own_first: bool = False
    copies: bool = False
    owed: bool = False


class AskArchive(NamedTuple):
    """Tell the ends of an account's archive to a client that has bound a resource by Bind 2 (XEP-0386); answered with ArchiveEnds.

    `clear`: what offline delivery owes is owed no longer, as far as the archive has it up to the newest message that is told.
    """

    account: str
    clear: bool


class ArchiveEnds(NamedTuple):
    """Answer to AskArchive: the sealed id and the Unix milliseconds of the oldest and the newest message; "" for an empty archive."""

    first: str
    first_at: int
    last: str
    last_at: int


class Enable(NamedTuple):
    """Make a bound stream resumable (XEP-0198 section 3). `seconds` is what the client wants, 0 when it does not say.

    The client's counting begins at inbound number `base_in` and outbound number `base_out`. The edge makes the `token`, so that its mirror
    has it from the first moment.
    """

    full: str
    grant: int
    token: bytes
    seconds: int
    base_in: int
    base_out: int


class Enabled(NamedTuple):
    """Answer to Enable: how long a session may be without a socket."""

    seconds: int


class Resume(NamedTuple):
    """The authenticated `account` wants to go on with the stream of `token`, of which its client has handled `h` stanzas."""

    account: str
    token: bytes
    h: int
    edge: str
    sid: int


class Resumed(NamedTuple):
    """Answer to Resume: the stream goes on at the edge that asked, under a new grant.

    `n` is the last outbound number that the client has; what follows is delivered again. `note`, `own_first` and `copies` as in Note
    and Bound, `heard` as in MirrorSession; what it was told of nodes lately, too.
    """

    full: str
    grant: int
    stream: bytes
    n: int
    management: Management
    note: bytes
    own_first: bool = False
    copies: bool = False
    heard: Sequence[tuple[bytes, int]] = ()


class BoshAsk(NamedTuple):
    """A request of BOSH (XEP-0124) came to another edge than that of its session, which answers with `BoshTold` under the same `id`.

    `host` is the client's address, `secure` whether it came over TLS.
    """

    id: int
    body: bytes
    host: str
    secure: bool


class BoshTold(NamedTuple):
    """What a request is answered with that came as `BoshAsk`: the HTTP status, the document, its type."""

    id: int
    status: int
    data: bytes
    content: str


class NotResumed(NamedTuple):
    """Answer to Resume: there is no such session for this account, or its client claims more than it was sent.

    `h` is what was handled of the stream, when that is still known (else -1); `sent`, when not -1, is how many stanzas the client was
    sent: its own number is higher.
    """

    h: int = -1
    sent: int = -1


class GetCredentials(NamedTuple):
    """Ask the account worker for what a SASL exchange needs (also for unknown users: fake but stable)."""

    account: str
    mechanism: str
    #: Where the client is, to slow guesses down; "" for one that no limit is for.
    address: str = ""
    #: The id that the client says it has (XEP-0388), "" for none.
    agent: str = ""


class LoggedIn(NamedTuple):
    """A client has authenticated as `account` with its password: that was no guess (`workers.account.guessing`)."""

    account: str
    address: str
    #: As in GetCredentials.
    agent: str = ""


class Credentials(NamedTuple):
    """SCRAM keys of one mechanism (RFC 5802); `exists` is False for the stable fake of an unknown or disabled user."""

    account: str
    exists: bool
    salt: bytes
    iterations: int
    stored_key: bytes
    server_key: bytes
    #: Mechanisms that keys are kept for, and that the account has none for.
    missing: Sequence[str] = ()


class AddKeys(NamedTuple):
    """Keep keys of one more mechanism (XEP-0480), for a client that has just proved those with the salt `proved`; answered with Done.

    Nothing happens when the account has keys for that mechanism.
    """

    account: str
    mechanism: str
    iterations: int
    salt: bytes
    stored_key: bytes
    server_key: bytes
    proved: bytes


class Redeem(NamedTuple):
    """A client proves that it holds a token of `account` (XEP-0484); answered by LoginToken.

    `agent` is the client's id; `binding` the data of the channel that `mechanism` binds to; `counter` is -1 when the client does not say;
    with `invalidate` the token ends. `wanted` is the mechanism of the token that it asks for, "" for none; `software` and `device` are
    what it says of itself.
    """

    account: str
    agent: str
    mechanism: str
    binding: bytes
    proof: bytes
    counter: int
    invalidate: bool
    wanted: str
    software: str
    device: str


class IssueToken(NamedTuple):
    """A client has authenticated as `account` by keys with the salt `proved` (b"": not by a password) and asks for a token.

    Nothing is issued for keys that are not the account's any more. Answered by LoginToken.
    """

    account: str
    agent: str
    mechanism: str
    proved: bytes
    software: str
    device: str


class LoginToken(NamedTuple):
    """Answer to Redeem and IssueToken: a new token, "" for none, and when it expires (Unix seconds).

    `proof` is the server's proof that it knows the token that the client came with; `failed` is the SASL condition when that was none.
    """

    token: str = ""
    expires: int = 0
    proof: bytes = b""
    failed: str = ""


class CheckLogin(NamedTuple):
    """Ask any account worker whether a secret opens an account of `domain`, whose passwords are kept elsewhere; answered by LoginChecked.

    `account` is who the client says it is, "" when that follows from the secret; `secret` is a password or a token, as `mechanism` has it.
    """

    domain: str
    account: str
    mechanism: str
    secret: str
    #: As in GetCredentials.
    address: str = ""
    agent: str = ""


class LoginChecked(NamedTuple):
    """Answer to CheckLogin: who that is; or `failed`, the SASL condition."""

    account: str = ""
    failed: str = ""


class Register(NamedTuple):
    """In-band registration before authentication (XEP-0077); the account worker applies the domain's policy."""

    domain: str
    username: str
    password: str
    email: str
    ip: str
    #: Of an invitation that was shown and valid (XEP-0445), "" for none.
    token: str = ""
    #: The answer to a puzzle: its id, what was said to the question, what was done as work (`shared.xeps.captcha`).
    puzzle: Sequence[str] = ("", "", "")


class AskPuzzle(NamedTuple):
    """Ask an account worker for what people who make accounts on `domain` are asked (XEP-0158); answered by Puzzled."""

    domain: str


class Puzzled(NamedTuple):
    """Answer to AskPuzzle: the fields of `shared.xeps.captcha.Puzzle`; no `id` where nothing is asked."""

    id: str
    question: str = ""
    label: str = ""


class ChangeAccount(NamedTuple):
    """Change the password of an account, or remove it (`new` is ""), for whoever knows its password; answered by Done. Comes from a browser at `address`."""

    account: str
    password: str
    new: str
    address: str
    #: As in CheckLogin: guesses are slowed down alike.
    mechanism: str = "PLAIN"


class AskInvitation(NamedTuple):
    """Ask an account worker what the token of an invitation allows now (XEP-0445); StanzaError(item-not-found) for nothing."""

    domain: str
    token: str


class Invited(NamedTuple):
    """Answer to AskInvitation: the username that is kept and the bare JID of who invites, "" for none; `expires` in Unix seconds.

    `joins`: an account may be made with it.
    """

    username: str
    inviter: str
    expires: int
    joins: bool = True


class ListSessions(NamedTuple):
    """Ask a router for the sessions of its partition, in the order of their full JIDs: those of `account`, or of `domain`, or all ("").

    At most `limit` of those behind the full JID `after`; with 0 they are only counted. With `accounts` the answer counts those, too.
    """

    account: str
    domain: str
    after: str
    limit: int
    accounts: bool = False


class SessionList(NamedTuple):
    """Answer to ListSessions: (full JID, edge, priority, show, resumable), and how many there are in all.

    The edge is "" while the client is away and may resume; show is that of RFC 6121 section 4.7.2.1, "" for plain availability and
    "unavailable" for a session without presence. `accounts` have a connected session, `active` of them one whose user is there: available,
    not away, and not inactive (XEP-0352); both are 0 when nobody asked.
    """

    rows: Sequence[tuple[str, str, int, str, bool]]
    total: int
    accounts: int = 0
    active: int = 0


class EndSessions(NamedTuple):
    """An operator ends sessions of `account`: that of `resource`, or all (""), with a stream error of RFC 6120 section 4.9.3."""

    account: str
    resource: str
    condition: str
    text: str


class Ended(NamedTuple):
    """Answer to EndSessions: how many there were."""

    number: int


class EditRoster(NamedTuple):
    """An operator puts `contact` into the roster of `account`, or takes it away; answered by Done.

    `subscription` is none, to, from, both, remove, or "" for what it is already.
    """

    account: str
    contact: str
    name: str
    groups: Sequence[str]
    subscription: str


class AskRoom(NamedTuple):
    """An operator's request to a room: an iq that is done as for an administrator of the service, who is not in the room.

    With an `owner` (a bare JID) the room is made first, and the iq has the form of its configuration.
    """

    stanza: Stanza
    owner: str


class RoomTold(NamedTuple):
    """Answer to AskRoom, once it is done: the result that a client would get."""

    stanza: Stanza


class Done(NamedTuple):
    """An empty answer."""


class GetDomains(NamedTuple):
    """Ask any account worker for the hosted domains."""


class Domains(NamedTuple):
    """Hosted domains: (name, registration is open, contact addresses for XEP-0157 as ((field, (uri, ...)), ...)).

    `kinds` are what their addresses are, in the same order; a domain that has none there has accounts. `logins` are SASL mechanisms, in
    the same order, of domains whose passwords are kept elsewhere; none for the others.
    """

    domains: Sequence[tuple[str, bool, Sequence[tuple[str, Sequence[str]]]]]
    kinds: Sequence[str] = ()
    logins: Sequence[Sequence[str]] = ()
    #: Names of those that ask people who make accounts a question, or for work (XEP-0158).
    puzzles: Sequence[str] = ()
    #: Names of those that delegate requests to components (XEP-0355): what they answer of themselves is not what edges know.
    delegating: Sequence[str] = ()


# --- from operators to processes --------------------------------------------------------------------------------------


class DrainProcess(NamedTuple):
    """An operator asks one process to give away what it holds and to end, as on SIGTERM.

    An edge ends at most `rate` connections a second; 0 is what the configuration says.
    """

    rate: int = 0


class SetLogLevel(NamedTuple):
    """An operator wants lines of this level and above (debug, info, warning, error) until the process ends."""

    level: str


class AskProcess(NamedTuple):
    """An operator asks one process what only its memory knows; answered by ProcessTold.

    `what` is history, log, drain or watch (`shared.cluster.orders`); `detail` is JSON.
    """

    what: str
    detail: str = ""


class ProcessTold(NamedTuple):
    """Answer to AskProcess, in JSON."""

    text: str


# --- between buses (services never see these) -------------------------------------------------------------------------


class Return(NamedTuple):
    """The answer to a call: the answering item by its wire tag and fields."""

    call: int
    tag: int
    fields: Sequence[object]


class Failed(NamedTuple):
    """The answer to a call that failed with a stanza error; `app` is (namespace, name) or empty."""

    call: int
    condition: str
    type: str
    text: str
    app: Sequence[str]


class Refused(NamedTuple):
    """This item came to a process that does not hold its partition under `epoch`: it goes back to its sender."""

    kind: int
    partition: int
    epoch: int
    tag: int
    fields: Sequence[object]
    call: int


class Barrier(NamedTuple):
    """Asks the former holder of partitions to answer Passed once all that was sent before has been taken or refused."""

    token: int


class Passed(NamedTuple):
    """Answer to Barrier."""

    token: int


class Granted(NamedTuple):
    """These partitions of `kind`, (partition, epoch), are now leased to the receiver: their former holder gave them away."""

    kind: int
    held: Sequence[tuple[int, int]]


# --- control subject (every process hears it) -------------------------------------------------------------------------


class Beat(NamedTuple):
    """I am alive, once a second. `kinds` that this process hosts; `load` is connections or items a second; `state` is
    "up" or "draining"; `version` is the highest item version that this process reads.

    `about` is told only to who asks with AskHolds: what operators want to know of a process, as `shared.cluster.about` packs it."""

    incarnation: str
    kinds: Sequence[int]
    load: int
    state: str
    version: int
    about: Sequence[str] = ()


class Holds(NamedTuple):
    """I hold these partitions of `kind`: (partition, epoch). Sent on change, and when asked with AskHolds."""

    incarnation: str
    kind: int
    held: Sequence[tuple[int, int]]


class Claimed(NamedTuple):
    """I have taken these partitions of `kind`, (partition, epoch), from a holder that is dead or free: I do not serve them yet.

    Whoever holds one under a lower epoch is deposed: it forgets the partition, and nobody takes its word for it any more.
    """

    incarnation: str
    kind: int
    held: Sequence[tuple[int, int]]


class AskHolds(NamedTuple):
    """A new process asks every holder for its Holds."""

    incarnation: str


class Left(NamedTuple):
    """A process has left for good: said by itself at the end of a drain (`drained`), or by the parent that reaped it."""

    incarnation: str
    drained: bool = False


class DomainsChanged(NamedTuple):
    """A domain was added, removed or changed: processes read the rows again."""


class Yield(NamedTuple):
    """This process lost Postgres while others may not have: whoever can may take its partitions over, without waiting."""

    incarnation: str


Item = (
    Submit
    | Route
    | Unbind
    | Acked
    | ClientState
    | Mirror
    | Copy
    | Deliver
    | DeliverMany
    | Accepted
    | Copied
    | End
    | Note
    | MirrorRequest
    | Fanout
    | ToResources
    | SendPresence
    | AccountChanged
    | Gated
    | Replay
    | ToSession
    | CheckOccupants
    | StillThere
    | ShowUsers
    | Seen
    | Sighted
    | FannedOut
    | LastItems
    | TheirPresence
    | TheirAnswer
    | Missed
    | NoLongerAway
    | Notified
    | Interest
    | Handle
    | Broadcast
    | SessionUp
    | Gate
    | Probe
    | LastSeen
    | RosterChanged
    | RosterRead
    | ContactRemoved
    | SharedContacts
    | OperatorCommand
    | TryRemote
    | RemoteBroken
    | ComponentHere
    | ComponentGone
    | ToComponent
    | ComponentAcked
    | BoshAsk
    | BoshTold
    | ListSessions
    | SessionList
    | EndSessions
    | EditRoster
    | DrainProcess
    | SetLogLevel
    | AskProcess
    | ProcessTold
    | AskRoom
    | RoomTold
    | Ended
    | Bind
    | Bound
    | AskArchive
    | ArchiveEnds
    | GetCredentials
    | Credentials
    | AddKeys
    | LoggedIn
    | Redeem
    | IssueToken
    | LoginToken
    | CheckLogin
    | LoginChecked
    | Register
    | ChangeAccount
    | AskInvitation
    | AskPuzzle
    | Puzzled
    | Invited
    | Done
    | GetDomains
    | Domains
    | Return
    | Failed
    | Refused
    | Barrier
    | Passed
    | Granted
    | Beat
    | Holds
    | Claimed
    | AskHolds
    | Left
    | DomainsChanged
    | Yield
    | Frontier
    | Noted
    | Enable
    | Enabled
    | Resume
    | Resumed
    | NotResumed
)

#: Wire tags: never reused, never renumbered.
TAGS: Final[dict[type, int]] = {
    Submit: 1,
    Route: 2,
    Unbind: 3,
    Acked: 4,
    Mirror: 5,
    Copy: 6,
    ClientState: 8,
    Deliver: 10,
    DeliverMany: 11,
    Accepted: 12,
    End: 13,
    Note: 14,
    MirrorRequest: 15,
    Copied: 16,
    Fanout: 20,
    ToResources: 21,
    SendPresence: 22,
    AccountChanged: 23,
    Gated: 24,
    Replay: 25,
    ToSession: 26,
    Handle: 30,
    Broadcast: 31,
    SessionUp: 32,
    Gate: 33,
    Probe: 34,
    LastSeen: 35,
    RosterChanged: 40,
    RosterRead: 440,
    TheirPresence: 441,
    TheirAnswer: 442,
    ContactRemoved: 41,
    SharedContacts: 280,
    Bind: 50,
    Bound: 51,
    GetCredentials: 52,
    Credentials: 53,
    Register: 54,
    Done: 55,
    GetDomains: 56,
    Domains: 57,
    Return: 60,
    Failed: 61,
    Refused: 62,
    Barrier: 63,
    Passed: 64,
    Granted: 65,
    Beat: 70,
    Holds: 71,
    AskHolds: 72,
    Left: 73,
    DomainsChanged: 74,
    Yield: 75,
    Claimed: 76,
    StillThere: 100,
    ShowUsers: 420,
    Seen: 450,
    Sighted: 451,
    Frontier: 7,
    Noted: 17,
    Enable: 80,
    Enabled: 81,
    Resume: 82,
    Resumed: 83,
    NotResumed: 84,
    FannedOut: 125,
    CheckOccupants: 126,
    Interest: 160,
    LastItems: 161,
    Missed: 162,
    NoLongerAway: 163,
    Notified: 164,
    OperatorCommand: 110,
    ListSessions: 180,
    SessionList: 181,
    EndSessions: 182,
    AskRoom: 127,
    RoomTold: 128,
    Ended: 183,
    EditRoster: 184,
    DrainProcess: 185,
    SetLogLevel: 186,
    AskProcess: 190,
    ProcessTold: 191,
    TryRemote: 145,
    Redeem: 210,
    IssueToken: 211,
    LoginToken: 212,
    CheckLogin: 213,
    LoginChecked: 214,
    ComponentHere: 146,
    ComponentGone: 147,
    ToComponent: 148,
    ComponentAcked: 149,
    BoshAsk: 220,
    BoshTold: 221,
    AskInvitation: 222,
    Invited: 223,
    AskArchive: 290,
    ArchiveEnds: 291,
    AddKeys: 292,
    LoggedIn: 293,
    RemoteBroken: 310,
    ChangeAccount: 330,
    AskPuzzle: 430,
    Puzzled: 431,
}
