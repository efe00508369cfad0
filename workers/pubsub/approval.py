"""An owner of a node of a service answers a subscription request by a form in a message (XEP-0060 section 8.6)."""

from __future__ import annotations

from rookery.shared.xeps import data_forms
from rookery.shared.xmpp.errors import JidError, StanzaError
from rookery.shared.xmpp.jid import Jid
from rookery.workers.pubsub import subscriber
from rookery.workers.pubsub.keeping import Keeping, Request


async def answer(keeping: Keeping, request: Request) -> None:
    """Approve or deny; any other message means nothing to a service. Raises StanzaError."""
    x = request.stanza.find(data_forms.NS, "x")
    if x is None or x.get("type") != "submit":
        return
    values = data_forms.values(x)
    if values.get("FORM_TYPE") != [subscriber.AUTHORIZATION]:
        return
    said = {name.removeprefix("pubsub#"): found[0] for name, found in values.items() if found}
    try:
        jid = Jid.parse(said.get("subscriber_jid", "")).full
    except JidError as exc:
        raise StanzaError("jid-malformed") from exc
    node = await keeping.need(request, said.get("node"))
    ask = await keeping.ask(request, node)
    allow = said.get("allow") in ("1", "true")
    await keeping.apply(request, node, subscriber.approve(node, ask, jid, said.get("subid", ""), allow))
