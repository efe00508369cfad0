"""What cannot be brought goes back to its sender, as one error: what comes too late, what waited too long, what nobody may send."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from rookery.shared.bus.messages import Kind, Origin, Route, answering
from rookery.shared.custody.kept import Handed
from rookery.shared.store.rows import unpack_stanza
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.hosted import HostedWorker
from rookery.workers.s2s.answers import answerable, error_of
from rookery.workers.s2s.outgoing.conditions import Condition
from rookery.workers.s2s.outgoing.remote import Remote
from rookery.workers.s2s.queue import sql
from rookery.workers.s2s.queues import Queues
from rookery.workers.s2s.streams.api import Trouble

#: What a pair (local, remote) may not exchange stanzas for, if so.
Forbidden = Callable[[str, str], StanzaError | None]


class Returns:
    """`count` is how many went back. Set `queues` before anything is given up."""

    queues: Queues

    def __init__(
        self, worker: HostedWorker, place: Callable[[str], tuple[Kind, int]], forbidden: Forbidden
    ) -> None:
        self._worker = worker
        self._place = place
        self._forbidden = forbidden
        self.count = 0
        #: What is said in place of an error of a request that does not wait.
        self.turned: Callable[[Stanza], Stanza] = lambda error: error
        #: Rows whose senders are being told, by the uid of the error.
        self._leaving: dict[tuple[bytes, int], tuple[str, str, int]] = {}

    def refuse(self, stanza: Stanza, error: StanzaError, origin: Origin) -> None:
        """Send an error to the sender, unless that must not be (RFC 6120 section 8.3.1)."""
        if not answerable(stanza) or not stanza.from_:
            return
        if origin.deadline and time.time() * 1000 > origin.deadline:
            return  # the edge has answered it
        self.count += 1
        self._worker.route(self.turned(stanza.error(error)), answering(origin))

    def give_up(self, row: sql.Old, trouble: Trouble | None) -> None:
        """A row's time is over: its sender gets one error; the row goes when a router has accepted that."""
        stanza = unpack_stanza(row.stanza)
        key = row.remote, row.local, row.seq
        if not answerable(stanza):
            self.queues.left(key)
            return
        self.count += 1
        error = stanza.error(self._forbidden(row.local, row.remote) or error_of(trouble))
        stream = b"answer:" + (row.stream or f"s2s/{row.remote}/{row.local}".encode())
        node = self._worker.node
        origin = Origin(stream, row.n, node.incarnation)
        self._leaving[origin.stream, origin.n] = key
        came = node.partition(row.remote)
        self._worker.custodian.hand_on(came, self._place(error.to), Route(origin, error), sent=True)

    def settled(self, handed: Handed) -> bool:
        """A router has accepted something: whether it was such an error."""
        key = self._leaving.pop((handed.former.stream, handed.former.n), None)
        if key is None:
            return False
        self.queues.left(key)
        return True

    def look(self, peer: Remote) -> None:
        """Once a second: what has no row does not wait for ever."""
        now = time.time()
        for pair in peer.pairs.values():
            for entry in pair.cull(now):
                self.refuse(entry.stanza, error_of(peer.trouble), entry.origin)
            if peer.condition is Condition.PAUSED and peer.failures:
                for entry in pair.requests():
                    self.refuse(entry.stanza, error_of(peer.trouble), entry.origin)

    def forget(self, remotes: Iterable[str]) -> None:
        """These remote domains are another process's now."""
        gone = set(remotes)
        self._leaving = {uid: key for uid, key in self._leaving.items() if key[0] not in gone}
