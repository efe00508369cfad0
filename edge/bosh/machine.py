"""One session of BOSH without I/O: requests in, answers out, in the order of their numbers (XEP-0124).

`request` takes a request, `following` gives what the stream hears next, `write` queues what the stream says, and `flush` gives the
answers that are due. Whoever owns it calls `flush` at the end of each turn, and `tick` when `due` has come.

A payload counts as `confirmed` once the client has shown that it has the answer with it: so what was said into a connection that
broke is not taken for delivered.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from hashlib import sha1
from typing import Final, NamedTuple, Protocol

from rookery.edge.bosh.terms import Terms
from rookery.edge.bosh.wrapper import NOTHING, REPEAT, Ask, terminal, write

NEVER: Final = float("inf")
#: How often a client may repeat one request (section 14.3).
REPEATS: Final = 8
#: Answers that are kept for a client that acknowledges them, at most.
KEPT: Final = 32
#: An answer that the client does not have after so many seconds is reported missing (section 9.2).
REPORT_SECONDS: Final = 2.0
_HTTP: Final = {"bad-request": 400, "policy-violation": 403, "item-not-found": 404}


_new: Final = tuple.__new__


class Token(Protocol):
    """Where an answer goes: anything, it is handed back as it came."""


class Answer(NamedTuple):
    """What the request that came under `token` is answered with."""

    token: Token
    status: int
    data: bytes


class _Open:
    """A request that is not answered: `token` is where its answer goes."""

    __slots__ = ("ask", "at", "repeats", "token")

    def __init__(self, ask: Ask, token: Token, at: float) -> None:
        self.ask = ask
        self.token = token
        self.at = at
        self.repeats = 0


class _Said(NamedTuple):
    """An answer: its document, when it was given, how many bytes the stream had said with it."""

    data: bytes
    at: float
    bytes: int


class Machine:
    """See the module's text. `created` are the attributes of the first answer; times are those of one clock, in seconds."""

    def __init__(self, terms: Terms, first: Ask, created: dict[str, str | int]) -> None:
        self.terms = terms
        self._created = created
        self._key = first.newkey
        #: The number of the request that was taken last; the next one in order is `_last + 1`.
        self._last = first.rid - 1
        #: Requests that wait for those before them; those that were taken and are not answered; answers by number.
        self._early: dict[int, _Open] = {}
        self._open: deque[_Open] = deque()
        self._said: OrderedDict[int, _Said] = OrderedDict()
        self._repeats: dict[int, int] = {}
        self._answers: list[Answer] = []
        self._outbox: list[bytes] = []
        self._idle_since = NEVER
        self._inactivity = float(terms.inactivity)
        #: When the request before came, whether it was empty, and whether its answer was.
        self._came = -NEVER
        self._was_empty = False
        self._said_nothing = False
        self._report: tuple[int, int] | None = None
        self._ending: bytes | None = None
        #: Bytes that the stream has said; that were written into answers; that the client has for certain.
        self.queued = 0
        self._written = 0
        self.confirmed = 0
        #: Nothing more is taken: `condition` says why, "" when the stream has ended by itself.
        self.over = False
        self.condition = ""

    # --- requests ---

    def request(self, ask: Ask, token: Token, now: float) -> None:
        """A request came. What is wrong with it ends the session: see `over`."""
        rid = ask.rid
        known = self._early.get(rid) if rid > self._last else self._waiting(rid)
        if known is not None:
            self._repeated(known, token)
        elif rid <= self._last:
            self._again(rid, token)
        elif self.over:
            self._end_with(token)
        elif rid > self._last + self.terms.requests + (1 if ask.type or ask.pause >= 0 else 0):
            self.fail("item-not-found", token)
        else:
            self._early[rid] = _Open(ask, token, now)

    def _waiting(self, rid: int) -> _Open | None:
        for one in self._open:
            if one.ask.rid == rid:
                return one
        return None

    def _repeated(self, known: _Open, token: Token) -> None:
        """Section 14.3: the client has lost the connection of a request that waits."""
        self._answers.append(Answer(known.token, 200, REPEAT))
        known.token = token
        known.repeats += 1
        if known.repeats > REPEATS:
            self.fail("policy-violation", None)

    def _again(self, rid: int, token: Token) -> None:
        """The client has not got the answer to a request: it gets the same again."""
        said = self._said.get(rid)
        count = self._repeats[rid] = self._repeats.get(rid, 0) + 1
        if said is None:
            if self.over:
                self._end_with(token)
            else:
                self.fail("item-not-found", token)
        elif count > REPEATS:
            self.fail("policy-violation", token)
        else:
            self._answers.append(Answer(token, 200, said.data))

    def following(self, now: float) -> Ask | None:
        """What the stream hears next, in the order of the numbers; None when nothing is here."""
        entry = self._early.get(self._last + 1)
        if entry is None or self.over:
            return None
        ask = entry.ask
        if self._overactive(ask, entry.at):
            self.fail("policy-violation", None)
            return None
        if not self._unlocks(ask):
            self.fail("item-not-found", None)
            return None
        del self._early[ask.rid]
        self._last = ask.rid
        self._confirm(ask, now)
        self._open.append(entry)
        self._came, self._was_empty = entry.at, ask.empty
        self._idle_since, self._inactivity = NEVER, float(self.terms.inactivity)
        if ask.pause >= 0:
            if ask.pause > self.terms.pause:
                self.fail("policy-violation", None)
                return None
            self._inactivity = float(ask.pause)
        return ask

    def _overactive(self, ask: Ask, at: float) -> bool:
        """Sections 11 and 12."""
        terms = self.terms
        if not ask.sid or ask.type or ask.pause >= 0:
            return False
        open_ = len(self._open) + 1
        if open_ > terms.requests:
            return True
        hasty = ask.empty and at - self._came < terms.polling
        if terms.polls:
            return hasty and self._was_empty and self._said_nothing
        return hasty and open_ == terms.requests and open_ > 1

    def _unlocks(self, ask: Ask) -> bool:
        """Section 15.4: a request has the key whose hash came with the request before."""
        if not ask.sid:
            return True
        if self._key and sha1(ask.key.encode()).hexdigest() != self._key:  # noqa: S324  the XEP wants SHA-1
            return False
        self._key = ask.newkey or (ask.key if self._key else "")
        return True

    def _confirm(self, ask: Ask, now: float) -> None:
        """What the client has got by now: what it acknowledges (section 9.2), else all that was answered before it wrote this."""
        said = self._said
        if not said:
            return
        acked = ask.ack if self.terms.acks and ask.ack >= 0 else next(reversed(said))
        self._report = None
        for rid, answer in said.items():
            if rid > acked:
                if now - answer.at >= REPORT_SECONDS:
                    self._report = rid, int((now - answer.at) * 1000)
                break
            self.confirmed = max(self.confirmed, answer.bytes)
        if self.terms.acks and ask.ack >= 0:
            keep = max(self.terms.requests, min(KEPT, len([rid for rid in said if rid > acked])))
        else:
            keep = self.terms.requests
        while len(said) > keep:
            gone, _ = said.popitem(last=False)
            self._repeats.pop(gone, None)

    # --- what the stream says ---

    def write(self, data: bytes) -> None:
        """The stream says one element."""
        self.queued += len(data)
        self._outbox.append(data)

    def finish(self, condition: str) -> None:
        """The stream is over, and says nothing more; "" is an end in order."""
        if self._ending is None:
            said = b"".join(self._outbox)
            self._outbox = []
            self._ending = terminal(condition, said)
            self.over = True

    def fail(self, condition: str, token: Token | None) -> None:
        """The client has broken a rule: the session is over. The request of `token` is told why, or the oldest one."""
        if not self.over:
            self.over = True
            self.condition = condition
            self._outbox = []
            self._ending = terminal(condition)
        if token is not None:
            self._end_with(token)

    def _end_with(self, token: Token) -> None:
        ending = self._ending
        assert ending is not None
        if self.terms.legacy and self.condition in _HTTP:
            self._answers.append(Answer(token, _HTTP[self.condition], ending))
        else:
            self._answers.append(Answer(token, 200, ending))

    # --- answers ---

    def flush(self, now: float) -> list[Answer]:
        """The answers that are due now."""
        open_ = self._open
        if self.over:
            self._flush_end(now)
        elif open_:
            if self._created or (self._outbox and open_[0].ask.pause < 0):
                self._answer(now)
            pausing = open_ and open_[-1].ask.pause >= 0
            while len(open_) > (0 if pausing else self.terms.hold) or (self._report and open_):
                self._answer(now)
        answers, self._answers = self._answers, []
        return answers

    def _flush_end(self, now: float) -> None:
        """Section 13: the oldest request hears of the end, the others nothing."""
        waiting = [*self._open, *self._early.values()]
        self._open.clear()
        self._early.clear()
        for one in waiting[:1]:
            self._end_with(one.token)
            self._said[one.ask.rid] = _Said(self._ending or b"", now, self.queued)
        for one in waiting[1:]:
            self._answers.append(Answer(one.token, 200, NOTHING))
        if waiting or self._idle_since == NEVER:
            self._idle_since = now

    def _answer(self, now: float) -> None:
        """Answer the oldest request, with all that there is to say."""
        one = self._open.popleft()
        payloads = b""
        if self._outbox and one.ask.pause < 0:
            payloads = self._outbox[0] if len(self._outbox) == 1 else b"".join(self._outbox)
            self._written += len(payloads)
            self._outbox = []
        attrs, self._created = self._created, {}
        if self.terms.acks and not attrs and self._last > one.ask.rid:
            attrs = {"ack": self._last}
        if self._report is not None:
            attrs = attrs | {"report": self._report[0], "time": self._report[1]}
            self._report = None
        data = write(attrs, payloads) if attrs or payloads else NOTHING
        self._said_nothing = not payloads
        self._said[one.ask.rid] = _new(_Said, (data, now, self._written))
        self._answers.append(_new(Answer, (one.token, 200, data)))
        if not self._open:
            self._idle_since = now

    # --- time ---

    @property
    def behind(self) -> bool:
        """Whether a request has come that the stream has not heard yet."""
        return self._last + 1 in self._early and not self.over

    def expects(self, rid: int) -> bool:
        """Whether a request of this number may come next."""
        return self._last < rid <= self._last + self.terms.requests

    @property
    def due(self) -> float:
        """When `tick` is to be called."""
        if self._open and not self.over:
            return self._open[0].at + self.terms.wait
        return self._idle_since + self._inactivity

    def tick(self, now: float) -> None:
        """Time has passed: let a request that has waited be answered, note that the client is gone."""
        while self._open and not self.over and now >= self._open[0].at + self.terms.wait:
            self._answer(now)

    def forgotten(self, now: float) -> bool:
        """Whether the client has been silent for longer than it may (section 10)."""
        return not self._open and now >= self._idle_since + self._inactivity
