"""Clients for tests on clusters: accounts, logins on edges in turn, and what a refused stream said."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

import trio
from tests.cluster.harness import Cluster
from tests.stories.client import Client, Endpoint, Mode
from tests.stories.elements import STREAM, serialise

_CONDITION = re.compile(rb"<([a-z-]+) xmlns=['\"]urn:ietf:params:xml:ns:xmpp-streams['\"]")


class People:
    """Makes clients and lets them all go at the end."""

    def __init__(self, cluster: Cluster, accounts: Iterator[tuple[str, str]]) -> None:
        self.cluster = cluster
        self._accounts = accounts
        self._numbers = itertools.count()
        self._clients: list[Client] = []
        #: The credentials of each client, by its bare JID.
        self.passwords: dict[str, str] = {}

    def account(self) -> tuple[str, str]:
        """A fresh account of localhost: localpart and password."""
        name, password = next(self._accounts)
        self.passwords[f"{name}@localhost"] = password
        return name, password

    def client(self, mode: Mode = "starttls", domain: str = "localhost", edge: int | None = None) -> Client:
        """A client that is not connected yet, on the next edge."""
        index = next(self._numbers) if edge is None else edge
        one = Client(self.cluster.endpoint(index, mode), domain)
        self._clients.append(one)
        return one

    async def stream(self, mode: Mode = "starttls", domain: str = "localhost") -> Client:
        """A client that has a stream (after TLS) and has not authenticated."""
        one = self.client(mode, domain)
        await one.connect()
        return one

    async def bound(
        self, account: tuple[str, str] | None = None, resource: str | None = None, mode: Mode = "starttls"
    ) -> Client:
        """A client that has bound a resource and is not available."""
        one = self.client(mode)
        await one.login(*(account or self.account()), resource)
        return one

    async def online(self, account: tuple[str, str] | None = None, resource: str | None = None) -> Client:
        """A client that has sent presence and seen it."""
        one = await self.bound(account, resource)
        await one.send("<presence/>")
        await one.receive()
        return one

    async def leave(self) -> None:
        """Let every connection go."""
        with trio.CancelScope(shield=True, deadline=trio.current_time() + 20):
            for one in self._clients:
                await one.drop()


async def refused(client: Client, limit: float = 15.0) -> str:
    """Wait for the end of the stream and return the condition of its error, "" without one."""
    await client.wait_end(limit)
    if client.error is None:
        return ""
    return next(iter(client.error)).tag.rpartition("}")[2]


async def exchange(endpoint: Endpoint, data: bytes, limit: float = 15.0) -> bytes:
    """Send `data` on a new TCP connection and return all that comes until the server closes it."""
    received = b""
    with trio.fail_after(limit):
        stream = await trio.open_tcp_stream(endpoint.host, endpoint.port)
        async with stream:
            try:
                await stream.send_all(data)
                while more := await stream.receive_some(65536):
                    received += bytes(more)
            except trio.BrokenResourceError:
                pass
    return received


def condition(data: bytes) -> str:
    """The stream error in what a server sent, "" without one."""
    found = _CONDITION.search(data)
    return found[1].decode() if found else ""


def header(to: str = "localhost", **change: str) -> bytes:
    """A stream header; keyword arguments replace its attributes, "" leaves one out."""
    attributes = {"to": to, "version": "1.0", "xmlns": "jabber:client", "xmlns:stream": STREAM} | change
    text = "".join(f" {name}='{value}'" for name, value in attributes.items() if value)
    return f"<?xml version='1.0'?><stream:stream{text}>".encode()


def bare(client: Client) -> str:
    """The client's bare JID."""
    return client.jid.partition("/")[0]


def error_of(node: object) -> str:
    """The condition of a stanza error, "" when the stanza is none."""
    from xml.etree.ElementTree import Element

    assert isinstance(node, Element)
    if node.get("type") != "error":
        return ""
    error = node.find("{jabber:client}error")
    assert error is not None, serialise(node)
    conditions = [c for c in error if c.tag.startswith("{urn:ietf:params:xml:ns:xmpp-stanzas}")]
    return conditions[0].tag.rpartition("}")[2]
