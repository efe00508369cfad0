"""The proxy worker (XEP-0065): tells clients where to connect, and activates their streams.

All requests to one proxy domain come to the holder of its partition, which names its own port. A new holder does not know what waits
at the former one: such an activation is refused, and streams that are relayed go on where they are.
"""

from __future__ import annotations

from collections.abc import Mapping

import trio

from rookery.shared.bus.messages import Kind, Route
from rookery.shared.cluster.api import Node
from rookery.shared.xeps._disco import info
from rookery.shared.xeps.socks5_bytestreams import NS, Options
from rookery.shared.xmpp.errors import JidError, StanzaError
from rookery.shared.xmpp.jid import Jid, bare_of
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element
from rookery.workers.domain_service import FEATURES, DomainService
from rookery.workers.hosted import Handler
from rookery.workers.proxy.meeting import stream_of
from rookery.workers.proxy.port import Port


class ProxyService(DomainService):
    """Implements `shared.cluster.api.Service` for the kind proxy."""

    kind = Kind.PROXY

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self._options = node.config.options(Options)
        self._port = Port(node.config)

    @property
    def ports(self) -> dict[str, int]:
        """What the ready file tells."""
        return {"proxy": self._port.number} if self._port.number else {}

    def items(self) -> Mapping[type, Handler]:
        """Who handles what."""
        return {Route: self.on_route}

    async def run(self) -> None:
        """Background work; runs until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(super().run)
            nursery.start_soon(self._port.run)

    # --- stanzas ---------------------------------------------------------------------------------------------------------

    def disco_info(self) -> Element:
        """What a proxy is (section 4)."""
        return info("proxy", "bytestreams", "SOCKS5 Bytestreams", sorted([NS, *FEATURES]))

    async def asked(self, partition: int, item: Route, what: tuple[str, str, str]) -> Stanza:
        """Where to connect, or the activation of a stream. Raises StanzaError."""
        iq = item.stanza
        if what[1:] != (NS, "query"):
            raise StanzaError("service-unavailable")
        if not self.addresses.account(bare_of(iq.from_)):
            raise StanzaError("forbidden", "only accounts of this server use this proxy")
        if not self._port.number:
            # Section 4: it is unable to be a streamhost.
            raise StanzaError("not-allowed", "there is no port to connect to now")
        return self._streamhost(iq) if iq.type == "get" else self._activate(iq)

    def _streamhost(self, iq: Stanza) -> Stanza:
        attrs = {"jid": iq.to, "host": self._options.address or iq.to, "port": str(self._port.number)}
        return iq.result(Element(NS, "query", None, Element(NS, "streamhost", attrs)))

    def _activate(self, iq: Stanza) -> Stanza:
        query = iq.find(NS, "query")
        assert query is not None  # that is what was asked
        sid, target = query.get("sid") or "", query.find_text(NS, "activate")
        if not sid or not target:
            raise StanzaError("bad-request", "a stream has a sid and a target")
        try:
            whole = str(Jid.parse(target.strip()))
        except JidError as exc:
            raise StanzaError("jid-malformed") from exc
        # The requester's own address is part of the name: nobody else can activate its stream.
        self._port.activate(stream_of(sid, iq.from_, whole), bare_of(iq.from_))
        return iq.result()
