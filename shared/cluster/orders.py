"""What operators ask of one process: to drain and end, which lines to log, commands, what only its memory knows. Wiring says what is done."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

from rookery.shared.bus.api import Bus, Call
from rookery.shared.bus.messages import AskProcess, DrainProcess, Item, ProcessTold, SetLogLevel
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza

#: Hands a message on to one of many recipients, with a number that tells it from those to the others; waits while too much is on its way.
Give = Callable[[Stanza, int], Awaitable[None]]
#: Answers a question of an operator: what stands in its detail, to what JSON can say. Raises ValueError for a detail that makes no sense.
Question = Callable[[dict[str, Any]], Any]
#: What is asked of this process is nothing that it answers.
_NOT_HERE: Final = StanzaError("feature-not-implemented")


class Orders:
    """The orders that a process takes; until wiring has said what is done, nothing is."""

    def __init__(self) -> None:
        #: Drain and end, as on SIGTERM, at so many connections a second (0: as configured).
        self.drain: Callable[[int], None] = lambda rate: None
        #: Write lines of this level and above.
        self.log_level: Callable[[str], None] = lambda level: None
        #: Answer a command of an administrator, a request with one (XEP-0050). It raises StanzaError.
        self.command: Callable[[Stanza], Awaitable[Stanza]] = _unknown
        #: Carry out a message of an administrator to `DOMAIN/announce/...`; raises StanzaError.
        self.announce: Callable[[Stanza, Give], Awaitable[None]] = _nobody
        #: By what is asked (`AskProcess.what`).
        self.questions: dict[str, Question] = {}
        #: By item, as the control subject and the process's own subject bring them.
        self.handlers: dict[type, Callable[[Item], None]] = {
            DrainProcess: lambda item: self.drain(max(0, cast("DrainProcess", item).rate)),
            SetLogLevel: lambda item: self.log_level(cast("SetLogLevel", item).level),
        }

    def answer(self, bus: Bus, call: Call) -> None:
        """Answer a question."""
        asked = call.request
        bus.reply(call, self._told(asked) if isinstance(asked, AskProcess) else _NOT_HERE)

    def _told(self, asked: AskProcess) -> ProcessTold | StanzaError:
        question = self.questions.get(asked.what)
        if question is None:
            return _NOT_HERE
        try:
            detail = json.loads(asked.detail) if asked.detail else {}
            if not isinstance(detail, dict):
                raise ValueError("no object")
            return ProcessTold(json.dumps(question(detail), separators=(",", ":"), default=str))
        except (ValueError, TypeError, KeyError) as error:
            return StanzaError("bad-request", str(error))


async def _unknown(iq: Stanza) -> Stanza:
    raise StanzaError("service-unavailable")


async def _nobody(message: Stanza, give: Give) -> None:
    raise StanzaError("service-unavailable")
