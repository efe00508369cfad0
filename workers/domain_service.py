"""What kinds have in common whose domains answer requests alone, and only under the domain itself: uploads, the proxy."""

from __future__ import annotations

from functools import partial

from rookery.shared.bus.messages import Route
from rookery.shared.xeps import ping
from rookery.shared.xeps._disco import NS_INFO
from rookery.shared.xeps.service_discovery import NS_ITEMS
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.jid import bare_of
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element
from rookery.workers.hosted import HostedWorker

#: What every such domain says of itself (XEP-0030).
FEATURES = (NS_INFO, NS_ITEMS, ping.NS)


class DomainService(HostedWorker):
    """Answers discovery and pings; a kind says the rest."""

    def disco_info(self) -> Element:
        """What a domain of this kind is (XEP-0030 section 3)."""
        raise NotImplementedError

    async def asked(self, partition: int, item: Route, what: tuple[str, str, str]) -> Stanza:
        """The answer to another request; `what` is its (type, namespace, name). Raises StanzaError."""
        raise NotImplementedError

    def on_route(self, partition: int, item: Route) -> None:
        """Something for a domain of this kind: a kind has this in its table."""
        stanza, origin = item.stanza, item.origin
        if self.once.is_done(origin):
            self.accept(origin)
        elif stanza.kind == "iq" and stanza.type in ("get", "set"):
            if self.once.begin(partition, origin, False):
                self.job(partition, bare_of(stanza.from_), partial(self._serve, partition, item))
        else:
            if stanza.kind == "message" and stanza.type != "error":
                self.reply(stanza.error(StanzaError("service-unavailable")), origin)
            self.accept(origin)

    async def _serve(self, partition: int, item: Route) -> None:
        try:
            await self.serve_iq(item.origin, item.stanza, partial(self._answer, partition, item))
        finally:
            self.once.end(partition, item.origin, False)

    async def _answer(self, partition: int, item: Route) -> Stanza:
        iq = item.stanza
        if "@" in iq.to or "/" in iq.to or len(iq.payloads) != 1:
            raise StanzaError("service-unavailable")
        namespace, name = iq.payloads[0]
        what = (iq.type, namespace, name)
        if what == ("get", NS_INFO, "query"):
            query = iq.find(NS_INFO, "query")
            if query is not None and query.get("node"):
                raise StanzaError("item-not-found")
            return iq.result(self.disco_info())
        if what == ("get", NS_ITEMS, "query"):
            return iq.result(Element(NS_ITEMS, "query"))
        if what == ("get", ping.NS, "ping"):
            return iq.result()
        return await self.asked(partition, item, what)
