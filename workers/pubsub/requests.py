"""The requests that the pubsub worker answers, by the element within `<pubsub/>` (XEP-0060)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from rookery.shared.xeps import private_xml, push, vcard_temp
from rookery.shared.xeps.pubsub import NS, NS_DISCO_INFO, NS_DISCO_ITEMS, NS_OWNER
from rookery.shared.xeps.registry import Payload, answered_by
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element
from rookery.workers.pubsub import answers, avatars, bookmarks, management, retrieval
from rookery.workers.pubsub.errors import unsupported
from rookery.workers.pubsub.keeping import Keeping, Request, result
from rookery.workers.pubsub.push import requests as push_requests

#: Answers one request: the payload of its answer. The elements are `<pubsub/>` and the one in it that says what is wanted.
Verb = Callable[[Keeping, Request, Element, Element], Awaitable[Element | None]]

_GET: Final[Mapping[str, Verb]] = {
    "items": retrieval.items,
    "subscriptions": answers.subscriptions,
    "affiliations": answers.affiliations,
    "options": answers.show_options,
    "default": answers.default_options,
}
_SET: Final[Mapping[str, Verb]] = {
    "publish": answers.publish,
    "retract": answers.retract,
    "create": management.create,
    "subscribe": answers.subscribe,
    "unsubscribe": answers.unsubscribe,
    "options": answers.set_options,
}
_OWNER_GET: Final[Mapping[str, Verb]] = {
    "configure": management.show_configuration,
    "default": management.default_configuration,
    "affiliations": management.show_affiliations,
    "subscriptions": management.show_subscriptions,
}
_OWNER_SET: Final[Mapping[str, Verb]] = {
    "configure": management.configure,
    "affiliations": management.set_affiliations,
    "subscriptions": management.set_subscriptions,
    "purge": management.purge,
    "delete": management.delete,
}


def _of(ns: str, verbs: Mapping[str, Verb]) -> Callable[[Keeping, Request], Awaitable[Stanza]]:
    async def answer(keeping: Keeping, request: Request) -> Stanza:
        pubsub = request.stanza.find(ns, "pubsub")
        assert pubsub is not None
        for child in pubsub.elements(ns):
            verb = verbs.get(child.name)
            if verb is not None:
                return result(request, await verb(keeping, request, pubsub, child))
        if next(pubsub.elements(), None) is None:
            raise StanzaError("bad-request", "what is wanted?")
        feature = _FEATURES.get(next(pubsub.elements()).name)
        if feature is None:
            raise StanzaError("bad-request", "there is no such request")
        raise unsupported(feature)

    return answer


_FEATURES: Final = {
    "configure": "create-and-configure",
    "publish-options": "publish-options",
    "collection": "collections",
}
_ANSWERS: Final = {
    ("get", NS, "pubsub"): _of(NS, _GET),
    ("set", NS, "pubsub"): _of(NS, _SET),
    ("get", NS_OWNER, "pubsub"): _of(NS_OWNER, _OWNER_GET),
    ("set", NS_OWNER, "pubsub"): _of(NS_OWNER, _OWNER_SET),
    ("get", NS_DISCO_INFO, "query"): retrieval.info,
    ("get", NS_DISCO_ITEMS, "query"): retrieval.listing,
    ("set", push.NS, "enable"): push_requests.enable,
    ("set", push.NS, "disable"): push_requests.disable,
}
#: What the account worker hands on: it concerns nodes, too.
_HANDED: Final[Mapping[Payload, Callable[[Keeping, Request], Awaitable[Element | None]]]] = {
    ("get", private_xml.NS, "query"): bookmarks.private,
    ("set", private_xml.NS, "query"): bookmarks.private,
    ("set", vcard_temp.NS, "vCard"): avatars.card,
}
REQUESTS: Final = answered_by("pubsub", _ANSWERS)


async def answer(keeping: Keeping, request: Request) -> Stanza | None:
    """Answer a request to an account or a service. Raises StanzaError."""
    iq = request.stanza
    if iq.type == "result":
        return await retrieval.complete(keeping, request)
    key = (iq.type, *iq.payloads[0]) if len(iq.payloads) == 1 else ("", "", "")
    handed = _HANDED.get(key) if request.account else None
    if handed is not None:
        return result(request, await handed(keeping, request))
    answerer = REQUESTS.get(key)
    if answerer is None:
        raise StanzaError("service-unavailable")
    return await answerer(keeping, request)
