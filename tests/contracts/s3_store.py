"""An S3-compatible store for tests, in memory: it serves only what was signed, and computes each signature anew by botocore."""

from __future__ import annotations

import hmac
import time
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs, urlsplit

import h11
import trio
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

ACCESS, SECRET, REGION, BUCKET = "AKIATEST", "secret/of+tests", "eu-test-1", "files.one.org"


class S3Store:
    """Objects by path. `asked` are all requests that were well signed, `refused` how many were not."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.asked: list[tuple[str, str]] = []
        self.refused = 0
        self.port = 0
        #: Bytes of the bodies of requests; whether they are kept.
        self.sizes: list[int] = []
        self.keeps = True
        #: Whether it is out of order.
        self.broken = False
        self.clock = time.time

    @property
    def endpoint(self) -> str:
        """Its URL."""
        return f"http://127.0.0.1:{self.port}"

    async def run(self) -> None:
        """Serve until cancelled."""
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.port = listener.socket.getsockname()[1]
        await trio.serve_listeners(self._serve, [listener])

    async def _serve(self, stream: trio.SocketStream) -> None:
        connection = h11.Connection(h11.SERVER)

        async def event() -> Any:
            while (found := connection.next_event()) is h11.NEED_DATA:
                connection.receive_data(bytes(await stream.receive_some(65_536)))
            return found

        with suppress(trio.BrokenResourceError, h11.RemoteProtocolError):
            async with stream:
                while isinstance(request := await event(), h11.Request):
                    body, size = bytearray(), 0
                    while isinstance(data := await event(), h11.Data):
                        size += len(data.data)
                        if self.keeps:
                            body += data.data
                    if not isinstance(data, h11.EndOfMessage):
                        return  # broken off: there is no such object
                    status, headers, answer = self._answer(request, bytes(body))
                    self.sizes.append(size)
                    said = [("Content-Length", str(len(answer))), *headers]
                    out = connection.send(h11.Response(status_code=status, headers=said)) or b""
                    if request.method != b"HEAD":
                        out += connection.send(h11.Data(data=answer)) or b""
                    await stream.send_all(out)
                    if request.method == b"HEAD":
                        return
                    await stream.send_all(connection.send(h11.EndOfMessage()) or b"")
                    connection.start_next_cycle()

    def _answer(self, request: h11.Request, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        method, target = request.method.decode(), request.target.decode()
        headers = {name.decode(): value.decode() for name, value in request.headers}
        if self.broken:
            return 503, [], b"<Error><Code>SlowDown</Code></Error>"
        if not self._signed(method, target, headers):
            self.refused += 1
            return 403, [], b"<Error><Code>SignatureDoesNotMatch</Code></Error>"
        url = urlsplit(target)
        self.asked.append((method, url.path))
        if method == "PUT":
            self.objects[url.path] = body
            return 200, [("ETag", '"x"')], b""
        if method == "DELETE":
            self.objects.pop(url.path, None)
            return 204, [], b""
        found = self.objects.get(url.path)
        if found is None:
            return 404, [], b"<Error><Code>NoSuchKey</Code></Error>"
        query = parse_qs(url.query)
        said = [(name[9:], value[0]) for name, value in query.items() if name.startswith("response-")]
        span = headers.get("range", "").removeprefix("bytes=").partition("-")
        if span[1]:
            return 206, said, found[int(span[0]) : int(span[2] or len(found)) + 1]
        return 200, said, found

    def _signed(self, method: str, target: str, headers: dict[str, str]) -> bool:
        query = parse_qs(urlsplit(target).query)
        try:
            signature, date = query["X-Amz-Signature"][0], query["X-Amz-Date"][0]
            names, seconds = query["X-Amz-SignedHeaders"][0].split(";"), int(query["X-Amz-Expires"][0])
            signed = {name: headers[name] for name in names}
        except KeyError:
            return False
        begun = time.mktime(time.strptime(date + " UTC", "%Y%m%dT%H%M%SZ %Z")) - time.timezone
        scope = f"{ACCESS}/{date[:8]}/{REGION}/s3/aws4_request"
        if not begun - 5 <= self.clock() < begun + seconds or query["X-Amz-Credential"] != [scope]:
            return False
        path, _, said = target.partition("?")
        rest = "&".join(part for part in said.split("&") if not part.startswith("X-Amz-Signature="))
        host = signed.pop("host", "")
        request = AWSRequest(method=method, url=f"http://{host}{path}?{rest}", headers=signed)
        request.context["timestamp"] = date
        auth = S3SigV4QueryAuth(Credentials(ACCESS, SECRET), "s3", REGION)
        text = auth.string_to_sign(request, auth.canonical_request(request))
        return hmac.compare_digest(auth.signature(text, request), signature)
