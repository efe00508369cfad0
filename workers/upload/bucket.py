"""Files in a bucket of an S3-compatible store. Every request is one by a signed URL (AWS signature version 4, `signing`).

An object appears when it is whole, and only then: a PUT that breaks off leaves nothing. Names of objects are the random ids of files.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

import httpx
import trio

from rookery.shared.xeps.upload import Options
from rookery.workers.upload.place import AwayError, Terms, Whole
from rookery.workers.upload.signing import Signer

#: A URL for a request of our own: it begins at once.
_OWN_SECONDS: Final = 60
_CONNECTIONS: Final = 128
#: Objects that are removed at once: each is a request of its own, since not every store has the one for many.
_REMOVING: Final = 8
_PATIENCE: Final = httpx.Timeout(30.0, connect=10.0, pool=30.0)


class Bucket:
    """Implements `Place`."""

    def __init__(self, options: Options, client: httpx.AsyncClient | None = None) -> None:
        self._options = options
        self._client = client
        self._signer: Signer | None = None
        #: Files that are being put: whoever comes second finds them taken.
        self._incoming: set[str] = set()

    async def prepare(self) -> None:
        """Read the keys, which may have changed. Raises OSError."""
        options = self._options
        self._signer = await trio.to_thread.run_sync(
            Signer.of_files, options.s3_access_key_file, options.s3_secret_key_file, options.s3_region
        )
        if self._client is None:
            verify = ssl.create_default_context(cafile=options.s3_ca_file or None)
            limits = httpx.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS // 4)
            self._client = httpx.AsyncClient(
                verify=verify, timeout=_PATIENCE, limits=limits, follow_redirects=False, trust_env=False
            )

    async def aclose(self) -> None:
        """Let connections go."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    def url(self, method: str, id: str, terms: Terms) -> str:
        """A signed URL for a client, "" where files pass through us. Raises AwayError before the keys were read."""
        options = self._options
        if not options.s3_direct:
            return ""
        return self._signed(options.s3_public_endpoint or options.s3_endpoint, method, id, terms)

    def _signed(self, endpoint: str, method: str, id: str, terms: Terms) -> str:
        if self._signer is None:
            raise AwayError("the keys of the store were not read yet")
        return self._signer.url(method, located(self._options, endpoint, id), *terms)

    def _own(self, method: str, id: str, headers: Mapping[str, str] | None = None) -> httpx.Request:
        url = self._signed(self._options.s3_endpoint, method, id, Terms(_OWN_SECONDS, headers or {}))
        assert self._client is not None  # made with the signer
        return self._client.build_request(method, url, headers=headers)

    async def _ask(self, request: httpx.Request) -> int:
        """The status of an answer without a body of interest. Raises AwayError."""
        async with self._answered(request) as response:
            return response.status_code

    @asynccontextmanager
    async def _answered(self, request: httpx.Request) -> AsyncIterator[httpx.Response]:
        """The answer, 2xx or 404. Raises AwayError; its text has no URL, which opens the file to whoever reads it."""
        assert self._client is not None
        try:
            response = await self._client.send(request, stream=True)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise AwayError(f"the store did not answer: {type(error).__name__}") from None
        try:
            if not response.is_success and response.status_code != httpx.codes.NOT_FOUND:
                raise AwayError(f"the store answered {response.status_code}")
            yield response
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 1):
                await response.aclose()

    async def put(self, file: Whole) -> None:
        """Stream a file to the store, which waits for the client as the client waits for it. Raises as `Place` says."""
        if file.id in self._incoming:
            raise FileExistsError(file.id)
        self._incoming.add(file.id)
        try:
            if await self._ask(self._own("HEAD", file.id)) != httpx.codes.NOT_FOUND:
                raise FileExistsError(file.id)
            await file.noted()
            headers = {"content-length": str(file.size), "content-type": "application/octet-stream"}
            request = self._own("PUT", file.id, headers)
            request.stream = _Blocks(file.blocks)
            if await self._ask(request) == httpx.codes.NOT_FOUND:
                raise AwayError("the store has no such bucket")
        finally:
            self._incoming.discard(file.id)

    @asynccontextmanager
    async def read(self, id: str, start: int, stop: int) -> AsyncIterator[AsyncIterator[bytes]]:
        """Some bytes. Raises as `Place` says."""
        request = self._own("GET", id, {"range": f"bytes={start}-{stop - 1}", "accept-encoding": "identity"})
        async with self._answered(request) as response:
            if response.status_code == httpx.codes.NOT_FOUND:
                raise FileNotFoundError(id)
            if response.headers.get("content-length") != str(stop - start):
                raise AwayError("the store gave other bytes than were asked for")
            yield _read(response)

    async def remove(self, ids: Sequence[str]) -> None:
        """Remove objects; those that are not there are no trouble. Raises AwayError."""
        for at in range(0, len(ids), _REMOVING):
            failed: list[AwayError] = []
            async with trio.open_nursery() as nursery:
                for id in ids[at : at + _REMOVING]:
                    nursery.start_soon(self._remove, id, failed)
            if failed:
                raise failed[0]

    async def _remove(self, id: str, failed: list[AwayError]) -> None:
        try:
            await self._ask(self._own("DELETE", id))
        except AwayError as error:
            failed.append(error)

    async def tidy(self, before: float) -> None:
        """The store keeps nothing that was not finished."""


class _Blocks(httpx.AsyncByteStream):
    """The body of a request."""

    def __init__(self, blocks: AsyncIterator[bytes]) -> None:
        self._blocks = blocks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for block in self._blocks:
            yield block


async def _read(response: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for data in response.aiter_raw():
            yield data
    except httpx.HTTPError as error:
        raise AwayError(f"the store broke off: {type(error).__name__}") from None


def located(options: Options, endpoint: str, id: str) -> str:
    """The URL of an object, without a signature."""
    endpoint, key = endpoint.rstrip("/"), f"{options.s3_prefix}{id}"
    if options.s3_path_style:
        return f"{endpoint}/{options.s3_bucket}/{key}"
    scheme, _, host = endpoint.partition("://")
    return f"{scheme}://{options.s3_bucket}.{host}/{key}"
