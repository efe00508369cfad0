"""HTTP/1.1 for files on a trio stream: h11 is the parser; bodies pass it by in blocks, and each side waits for the other."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

import h11
import structlog
import trio

from rookery.shared.observe.metrics import UPLOAD_BYTES, UPLOADS
from rookery.shared.xeps.upload import Options
from rookery.workers.upload.answers import GUARDS, Headers, Reply, cors, got
from rookery.workers.upload.files import Files, RefuseError
from rookery.workers.upload.place import AwayError
from rookery.workers.upload.store import File

_HEAD_BYTES: Final = 16_384
_READ: Final = 32_768
#: Bytes of a body that are read at once.
_BODY: Final = 65_536
#: How long the last answer may take to be read while the client still sends what nobody wants. Seconds.
_LINGER: Final = 2.0
_SENT: Final = UPLOAD_BYTES.labels("out")
_log = structlog.get_logger()


class _GoneError(Exception):
    """The client is gone, or too slow."""


class Connection:
    """One client of the port."""

    def __init__(self, stream: trio.abc.Stream, files: Files) -> None:
        self._stream = stream
        self._files = files
        self._options: Options = files.options
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=_HEAD_BYTES)
        self._cors: Headers = []
        #: What came behind a body that was read whole.
        self._behind: bytes | None = None

    async def serve(self) -> None:
        """Answer requests until the connection ends; closes it. Never raises for what the client does."""
        try:
            while await self._next():
                pass
            with trio.move_on_after(_LINGER):
                await self._linger()
        except (_GoneError, h11.LocalProtocolError):
            pass
        except Exception:
            _log.exception("upload_connection_failed")
        finally:
            await trio.aclose_forcefully(self._stream)

    async def _next(self) -> bool:
        """Serve one request; False when the connection is at its end."""
        self._cors, self._behind = [], None
        try:
            with trio.move_on_after(self._options.stall_seconds) as clock:
                request = await self._event()
            if clock.cancelled_caught or not isinstance(request, h11.Request):
                return False
            await self._handle(request)
        except h11.RemoteProtocolError as error:
            await self._refuse(RefuseError(error.error_status_hint))
            return False
        except RefuseError as error:
            UPLOADS.labels("refused").inc()
            await self._refuse(error)
        return self._goes_on()

    def _goes_on(self) -> bool:
        """Whether another request may come: behind a body that was read; a client that still sends one is told to close."""
        if self._h11.our_state is not h11.DONE:
            return False
        if self._behind is not None:
            self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=_HEAD_BYTES)
            if self._behind:
                self._h11.receive_data(self._behind)
            return True
        if self._h11.their_state is not h11.DONE:
            return False
        self._h11.start_next_cycle()
        return True

    async def _handle(self, request: h11.Request) -> None:
        headers: dict[str, str] = {}
        for raw_name, raw_value in request.headers:
            name, value = raw_name.decode("ascii"), raw_value.decode("latin-1")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        method, target = request.method.decode("ascii"), request.target.decode("ascii")
        self._cors = cors(headers.get("origin", ""), self._options.origins)
        if method == "PUT":
            await self._put(target, headers)
        elif method in ("GET", "HEAD"):
            await self._end_of_body()
            file = await self._files.find(target)
            elsewhere = self._files.redirected(method, file)
            if elsewhere:
                await self._answer(302, elsewhere)
                return
            reply = got(file, headers, self._files.clock(), self._options.inline_types)
            await self._give(file, reply, head=method == "HEAD")
        elif method == "OPTIONS":
            await self._end_of_body()
            await self._answer(204, [("Allow", "GET, HEAD, PUT, OPTIONS")])
        else:
            raise RefuseError(405)

    # --- PUT -------------------------------------------------------------------------------------------------------------

    async def _put(self, target: str, headers: dict[str, str]) -> None:
        slot = self._files.slot(target, headers)
        if "transfer-encoding" in headers:
            raise RefuseError(411)
        with trio.move_on_after(self._options.put_seconds) as clock:
            async with aclosing(self._body(slot.size)) as body:
                await self._files.put(slot, body)
        if clock.cancelled_caught:
            raise RefuseError(408)
        await self._answer(201, [])

    async def _body(self, size: int) -> AsyncGenerator[bytes, None]:
        """A body of a known length, which h11 is not given: it would copy it three times."""
        if self._h11.they_are_waiting_for_100_continue:
            await self._proceed()
        came, _ = self._h11.trailing_data
        while len(came) < size:
            if came:
                size -= len(came)
                yield came
            with trio.move_on_after(self._options.stall_seconds) as clock:
                came = await self._receive(_BODY)
            if clock.cancelled_caught:
                raise RefuseError(408)
            if not came:
                raise _GoneError
        self._behind = came[size:]
        if size:
            yield came[:size] if self._behind else came

    async def _end_of_body(self) -> None:
        """Requests without a body: something that has one is none of ours."""
        with trio.move_on_after(self._options.stall_seconds):
            if isinstance(await self._event(), h11.EndOfMessage):
                return
        raise RefuseError(400)

    # --- GET -------------------------------------------------------------------------------------------------------------

    async def _give(self, file: File, reply: Reply, *, head: bool) -> None:
        if head or reply.start == reply.stop:
            await self._answer(reply.status, reply.headers, own=True)
            return
        try:
            async with self._files.place.read(file.id, reply.start, reply.stop) as blocks:
                await self._send(self._head(reply.status, reply.headers))
                left = reply.stop - reply.start
                async for data in blocks:
                    left -= len(data)
                    await self._send(self._h11.send(h11.Data(data=data)) or b"")
                    _SENT.inc(len(data))
                if left:
                    raise _GoneError  # the client sees that something is missing
                await self._send(self._h11.send(h11.EndOfMessage()) or b"")
        except AwayError as error:
            _log.error("upload_store_away", error=str(error))
            raise RefuseError(503) from None
        except OSError:
            raise RefuseError(404) from None
        UPLOADS.labels("fetched").inc()

    # --- bytes -----------------------------------------------------------------------------------------------------------

    async def _event(self) -> h11.Event | None:
        """The next event; None when the client must wait until its last request is answered."""
        while True:
            event = self._h11.next_event()
            if event is h11.PAUSED:
                return None
            if isinstance(event, h11.Event):
                return event
            if self._h11.they_are_waiting_for_100_continue:
                await self._proceed()
            self._h11.receive_data(await self._receive(_READ))

    async def _proceed(self) -> None:
        await self._send(self._h11.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")

    async def _receive(self, most: int) -> bytes:
        try:
            return bytes(await self._stream.receive_some(most))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise _GoneError from error

    def _head(self, status: int, headers: Headers) -> bytes:
        said = [("Date", formatdate(usegmt=True)), *headers, *self._cors]
        reason = HTTPStatus(status).phrase
        return self._h11.send(h11.Response(status_code=status, headers=said, reason=reason)) or b""

    async def _answer(self, status: int, headers: Headers, text: str = "", *, own: bool = False) -> None:
        """A whole answer; `own`: the headers tell the length already."""
        body = text.encode()
        if not own and status not in (204, 304):
            headers = [*headers, ("Content-Length", str(len(body)))]
            if body:
                headers.append(("Content-Type", "text/plain; charset=utf-8"))
        out = self._head(status, headers)
        if body:
            out += self._h11.send(h11.Data(data=body)) or b""
        await self._send(out + (self._h11.send(h11.EndOfMessage()) or b""))

    async def _refuse(self, error: RefuseError) -> None:
        if self._h11.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            raise _GoneError
        headers: Headers = [*GUARDS]
        if self._h11.their_state is not h11.DONE and self._behind is None:
            headers.append(("Connection", "close"))
        if error.status == HTTPStatus.METHOD_NOT_ALLOWED:
            headers.append(("Allow", "GET, HEAD, PUT, OPTIONS"))
        if error.status == HTTPStatus.SERVICE_UNAVAILABLE:
            headers.append(("Retry-After", "5"))
        text = error.text or HTTPStatus(error.status).phrase.lower()
        await self._answer(error.status, headers, f"{text}\n")

    async def _send(self, data: bytes) -> None:
        with trio.move_on_after(self._options.stall_seconds) as scope:
            try:
                # In pieces, so that a client that takes little, but takes something, is not too slow.
                for at in range(0, len(data), _READ):
                    scope.deadline = trio.current_time() + self._options.stall_seconds
                    await self._stream.send_all(data[at : at + _READ])
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                raise _GoneError from error
        if scope.cancelled_caught:
            raise _GoneError

    async def _linger(self) -> None:
        """Let the client read the last answer: what it still sends is thrown away for a moment, or it would be reset."""
        try:
            if isinstance(self._stream, trio.abc.HalfCloseableStream):
                await self._stream.send_eof()
            while await self._stream.receive_some(_READ):
                pass
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError):
            pass
