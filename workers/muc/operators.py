"""What operators ask of rooms by commands: done in the room's own order, and answered when it is committed."""

from __future__ import annotations

from functools import partial

import structlog

from rookery.shared.bus.api import Call
from rookery.shared.bus.messages import NOBODY, AskRoom, RoomTold
from rookery.shared.db.api import Fenced
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.jid import bare_of
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.hosted import HostedWorker
from rookery.workers.muc.live import Live, Work
from rookery.workers.muc.outs import Deed, Send
from rookery.workers.muc.part import Part
from rookery.workers.muc.policy import Policy
from rookery.workers.muc.room.facts import Facts
from rookery.workers.muc.room.room import Room
from rookery.workers.muc.rooms import Rooms
from rookery.workers.muc.shell import Shell

_log = structlog.get_logger()


class Operators:
    """Answers `AskRoom`."""

    def __init__(self, worker: HostedWorker, rooms: Rooms, shell: Shell, policy: Policy) -> None:
        self._worker = worker
        self._rooms = rooms
        self._shell = shell
        self._policy = policy

    def asked(self, part: Part | None, call: Call, request: AskRoom) -> None:
        """Do it in the lane of the room; whoever asks again after a loss finds what was done."""
        if part is None:
            self._reply(call, StanzaError("resource-constraint", "the room moves to another process"))
            return
        jid = bare_of(request.stanza.to)
        self._worker.lanes.submit(part.number, jid, partial(self._guarded, part, jid, call, request))

    async def _guarded(self, part: Part, jid: str, call: Call, request: AskRoom) -> None:
        try:
            await self._do(part, jid, call, request)
        except StanzaError as error:
            self._reply(call, error)
        except Fenced:
            return
        except Exception:
            _log.exception("room_failed", room=jid)
            self._reply(call, StanzaError("internal-server-error"))

    async def _do(self, part: Part, jid: str, call: Call, request: AskRoom) -> None:
        stanza = request.stanza
        live = await self._rooms.there(part, jid)
        if request.owner:
            room = Room.new(jid) if live is None else live.room
            deed = room.make(request.owner, stanza, self._facts(stanza, live))
            if live is None:
                live = await self._rooms.made(part, room)
        elif live is None:
            raise StanzaError("item-not-found", "there is no such room")
        else:
            deed = live.room.handle(stanza, self._facts(stanza, live))
        if live is not None:
            self._finish(live, deed, call, stanza)

    def _facts(self, stanza: Stanza, live: Live | None) -> Facts:
        history = () if live is None else live.history
        return self._policy.facts(stanza, self._shell.clock(), history)._replace(admin=True)

    def _finish(self, live: Live, deed: Deed, call: Call, stanza: Stanza) -> None:
        """Let the deed be written and said; its answer goes back by the bus instead of to an address."""
        answers = [out.stanza for out in deed.outs if isinstance(out, Send) and out.stanza.to == stanza.from_]
        outs = [out for out in deed.outs if not (isinstance(out, Send) and out.stanza.to == stanza.from_)]
        told = RoomTold(answers[0] if answers else stanza.result())
        work = Work(NOBODY, stanza, self._shell.clock(), partial(self._reply, call, told))
        self._rooms.done(live, deed._replace(outs=outs), work)

    def _reply(self, call: Call, answer: RoomTold | StanzaError) -> None:
        self._worker.node.bus.reply(call, answer)
