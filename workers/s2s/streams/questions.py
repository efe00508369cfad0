"""Questions to the DNS, on trio. c-ares asks and reads answers (pycares) in a thread of its own; answers are kept as long as their TTL says.

dnspython asked before: 1.3 ms of Python for a question, in the loop that serves all streams, so that names of dead domains took their time from
those that live. Here a question is a call and a callback, and the call is made in a thread, too: c-ares lets it wait while it reads answers, for
milliseconds when many come. c-ares keeps one port for all its questions, which makes an answer easier to forge: so
it is thrown away and made anew after a while. It does not tell whether an answer was validated: who needs that (TLSA) asks elsewhere.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from functools import partial
from queue import SimpleQueue
from typing import Any, Final, NamedTuple

import pycares
import trio
from pycares import errno

#: Answers that are kept; the longest that one is, and how long it is remembered that there is none.
CACHED: Final = 20_000
LONGEST: Final = 86_400.0
NOTHING_SECONDS: Final = 60.0
#: After so many questions, or seconds, another port is used.
PORT_QUESTIONS: Final = 1000
PORT_SECONDS: Final = 60.0
#: How often one server is asked, and seconds until the first repetition; the second waits twice as long.
TRIES: Final = 3
TRY_SECONDS: Final = 2.0
SRV: Final = pycares.QUERY_TYPE_SRV
A: Final = pycares.QUERY_TYPE_A
AAAA: Final = pycares.QUERY_TYPE_AAAA
_EMPTY: Final = frozenset({errno.ARES_ENOTFOUND, errno.ARES_ENODATA})


class EmptyError(Exception):
    """There is no such record. `name`: the name is there, with others."""

    def __init__(self, *, name: bool) -> None:
        super().__init__()
        self.name = name


class DnsError(Exception):
    """The DNS gave no answer. `silent`: none came in time."""

    def __init__(self, reason: str, *, silent: bool) -> None:
        super().__init__(reason)
        self.silent = silent


class _Kept(NamedTuple):
    """An answer until a moment of the monotonic clock; `error` in its place."""

    until: float
    records: Sequence[Any]
    error: int


class _Question(NamedTuple):
    """What is asked; `tell` is called in a thread, with an answer, an error, or neither for what cannot be asked."""

    name: str
    kind: int
    tell: Callable[[Any, int | None], None]


class Questions:
    """Asks the resolvers of the system, or one at `where` (ADDRESS:PORT). No question takes longer than `seconds`."""

    def __init__(self, where: str, seconds: float) -> None:
        self._seconds = seconds
        #: What the thread shall ask; None is its end. It begins with the first question.
        self._questions: SimpleQueue[_Question | None] = SimpleQueue()
        self._resolver: _Resolver | None = _Resolver(where, seconds)
        self._answers: deque[Callable[[], None]] = deque()
        self._coming = False
        self._kept: OrderedDict[tuple[str, int], _Kept] = OrderedDict()

    async def ask(self, name: str, kind: int) -> Sequence[Any]:
        """The data of the records of this kind that a name has, aliases followed. Raises EmptyError, DnsError."""
        records = self.known(name, kind)
        if records is not None:
            return records
        return _told(self._keep((name.lower(), kind), *await self._answer(name, kind)))

    def known(self, name: str, kind: int) -> Sequence[Any] | None:
        """The same without a question; None when one is needed. Raises EmptyError."""
        key = name.lower(), kind
        kept = self._kept.get(key)
        if kept is None or kept.until <= time.monotonic():
            return None
        self._kept.move_to_end(key)
        return _told(kept)

    async def _answer(self, name: str, kind: int) -> tuple[Any, int]:
        token, there = trio.lowlevel.current_trio_token(), trio.Event()
        answer: list[tuple[Any, int | None]] = []

        def come(result: Any, error: int | None) -> None:
            answer.append((result, error))
            there.set()

        def tell(result: Any, error: int | None) -> None:
            # (in a thread: what comes together wakes the loop once)
            self._answers.append(partial(come, result, error))
            if not self._coming:
                self._coming = True
                try:
                    token.run_sync_soon(self._come)
                except trio.RunFinishedError:
                    pass

        self._ask(_Question(name, kind, tell))
        with trio.move_on_after(self._seconds):
            await there.wait()
        if not answer:
            raise DnsError("no answer in time", silent=True)
        result, error = answer[0]
        if error is None and result is None:
            raise DnsError("not a name", silent=False)
        return result, error or 0

    def _come(self) -> None:
        self._coming = False
        while self._answers:
            self._answers.popleft()()

    def _ask(self, question: _Question) -> None:
        resolver, self._resolver = self._resolver, None
        if resolver is not None:
            threading.Thread(target=resolver.run, args=(self._questions,), name="dns", daemon=True).start()
            weakref.finalize(self, self._questions.put, None)
        self._questions.put(question)

    def _keep(self, key: tuple[str, int], result: Any, error: int) -> _Kept:
        if error and error not in _EMPTY:
            raise DnsError(errno.errorcode.get(error, str(error)), silent=error == errno.ARES_ETIMEOUT)
        records: list[Any] = []
        seconds = NOTHING_SECONDS
        if not error:
            found = [one for one in result.answer if one.type == key[1]]
            records = [one.data for one in found]
            error = 0 if found else errno.ARES_ENODATA
            seconds = min((one.ttl for one in result.answer), default=NOTHING_SECONDS)
        kept = _Kept(time.monotonic() + min(max(0.0, seconds), LONGEST), tuple(records), error)
        self._kept[key] = kept
        self._kept.move_to_end(key)
        if len(self._kept) > CACHED:
            self._kept.popitem(last=False)
        return kept


class _Resolver:
    """The thread that asks."""

    def __init__(self, where: str, seconds: float) -> None:
        self._where = where
        self._seconds = seconds
        self._channel: pycares.Channel | None = None
        self._made = 0.0
        self._asked = 0

    def run(self, questions: SimpleQueue[_Question | None]) -> None:
        """Ask what comes, until None does."""
        while (question := questions.get()) is not None:
            try:
                self._current().query(question.name, question.kind, callback=question.tell)
            except (pycares.AresError, ValueError, UnicodeError):
                question.tell(None, None)

    def _current(self) -> pycares.Channel:
        now = time.monotonic()
        self._asked += 1
        if self._channel is None or self._asked > PORT_QUESTIONS or now > self._made + PORT_SECONDS:
            # (questions of the former one are answered still: each keeps its channel until then)
            make: Callable[..., pycares.Channel] = partial(
                pycares.Channel, timeout=min(TRY_SECONDS, self._seconds), tries=TRIES, domains=[], lookups="b"
            )
            self._channel = make(servers=[self._where]) if self._where else make()
            self._made, self._asked = now, 1
        return self._channel


def _told(kept: _Kept) -> Sequence[Any]:
    if kept.error:
        raise EmptyError(name=kept.error == errno.ARES_ENODATA)
    return kept.records
