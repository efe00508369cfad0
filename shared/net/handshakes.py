"""TLS handshake steps: public-key arithmetic must not delay the stanzas of others.

A few quick steps (P-256 takes a quarter of a millisecond) are done at once, since to wake a thread and to be woken by it costs as
much; what goes beyond a share of the time, or is slow (RSA), is done by threads.
"""

from __future__ import annotations

import queue
import ssl
import threading
from collections import deque
from collections.abc import Callable
from enum import Enum
from time import monotonic, thread_time
from typing import Final, Literal, Protocol

import structlog
import trio

_log = structlog.get_logger()


#: The share of the time that goes to steps done at once, and how many seconds of them may come together.
SHARE: Final = 0.25
BURST: Final = 0.002
#: A step that took longer is slow: its like go to the threads for the next seconds.
SLOW: Final = 0.001
PENALTY: Final = 1.0


class Step(Enum):
    """How one non-blocking step of a handshake ended."""

    DONE = "done"
    READ = "read"
    WRITE = "write"
    FAILED = "failed"
    #: The certificate of the other side does not hold (only where it is asked for).
    UNTRUSTED = "untrusted"


class TlsSocket(Protocol):
    """What channels need of a socket with TLS beside what every socket has; `ssl.SSLSocket` is one."""

    @property
    def server_hostname(self) -> str | None:
        """The name that the client asked for, on its own side."""

    def do_handshake(self) -> None:
        """One step. Raises ssl.SSLWantReadError, ssl.SSLWantWriteError, OSError."""

    def pending(self) -> int:
        """Decrypted bytes that wait."""

    def unwrap(self) -> object:
        """Say goodbye."""

    def selected_alpn_protocol(self) -> str | None:
        """What both sides chose."""

    def getpeercert(self, binary_form: Literal[True], /) -> bytes | None:
        """The other side's certificate."""

    def version(self) -> str | None:
        """As TLSv1.3."""

    def cipher(self) -> tuple[str, str, int] | None:
        """Name, protocol, bits."""


#: Called in the trio thread with the result of a step.
Stepped = Callable[[Step], None]


def step(sock: TlsSocket) -> Step:
    """Do what can be done of the handshake without blocking."""
    try:
        sock.do_handshake()
    except ssl.SSLWantReadError:
        return Step.READ
    except ssl.SSLWantWriteError:
        return Step.WRITE
    except ssl.SSLCertVerificationError as error:
        _log.info("peer_untrusted", name=sock.server_hostname or "", reason=error.verify_message)
        return Step.UNTRUSTED
    except (OSError, ValueError):
        # SSLError is an OSError; ValueError is a socket that has no connection any more.
        return Step.FAILED
    return Step.DONE


class Budget:
    """How much of the loop's own time handshakes may take. A pure machine: the times are arguments, in seconds."""

    __slots__ = ("_at", "_spent")

    def __init__(self) -> None:
        self._spent = 0.0
        self._at = 0.0

    def allows(self, now: float) -> bool:
        """Whether a step may be done at once."""
        self._spent = max(0.0, self._spent - (now - self._at) * SHARE)
        self._at = now
        return self._spent < BURST

    def spend(self, took: float) -> None:
        """A step was done at once."""
        self._spent += took if took < SLOW else PENALTY


class HandshakePool:
    """Runs steps, at once or in daemon threads; their results come back into the trio loop in one wake-up for many."""

    def __init__(self, threads: int) -> None:
        self._work: queue.SimpleQueue[tuple[TlsSocket, Stepped] | None] = queue.SimpleQueue()
        self._results: deque[tuple[Stepped, Step]] = deque()
        self._token: trio.lowlevel.TrioToken | None = None
        self._budget = Budget()
        self._threads = [
            threading.Thread(target=self._run, name=f"tls-{i}", daemon=True) for i in range(threads)
        ]

    def start(self) -> None:
        """Start the threads; call it inside the trio run."""
        self._token = trio.lowlevel.current_trio_token()
        for thread in self._threads:
            thread.start()

    def submit(self, sock: TlsSocket, stepped: Stepped) -> None:
        """Run one step for `sock`; the caller must not touch or close the socket until `stepped` is called, perhaps before this returns."""
        if not self._budget.allows(monotonic()):
            self._work.put((sock, stepped))
            return
        began = thread_time()
        result = step(sock)
        self._budget.spend(thread_time() - began)
        stepped(result)

    def stop(self) -> None:
        """Let the threads end; steps that are not yet run are dropped."""
        for _ in self._threads:
            self._work.put(None)

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            sock, stepped = work
            result = step(sock)
            self._results.append((stepped, result))
            del work, sock, stepped
            assert self._token is not None
            try:
                self._token.run_sync_soon(self._deliver, idempotent=True)
            except trio.RunFinishedError:
                return

    def _deliver(self) -> None:
        while self._results:
            stepped, result = self._results.popleft()
            try:
                stepped(result)
            except Exception:  # this runs inside trio itself: nothing may escape
                _log.exception("handshake_result_failed")
