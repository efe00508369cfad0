"""What presence of contacts at other servers says of their clients, for the keeper of an account's nodes (XEP-0163 section 4.3.2)."""

from __future__ import annotations

from typing import Final

from rookery.router.core import Core
from rookery.router.partition import Part
from rookery.shared.bus.messages import Kind, TheirAnswer, TheirPresence
from rookery.shared.xeps.client_caps import THEIRS, caps_of
from rookery.shared.xeps.pubsub import NS_DISCO_INFO
from rookery.shared.xmpp.stanza import Stanza

#: Octets of an answer that is read.
MAX_ANSWER: Final = 65_536


def presence(core: Core, part: Part, account: str, stanza: Stanza) -> None:
    """Presence came for an account: of another server's user, it may name capabilities, or end what they were good for."""
    from_ = stanza.from_
    if "/" not in from_ or core.addresses.local(from_):
        return
    if stanza.type:
        core.bus.post(Kind.PUBSUB, part.number, TheirPresence(account, from_, "", "", ""))
        return
    caps = caps_of(stanza)
    if caps is not None and caps.hash:
        item = TheirPresence(account, from_, caps.hash, caps.ver, caps.node, caps.second)
        core.bus.post(Kind.PUBSUB, part.number, item)


def answered(core: Core, part: Part, account: str, iq: Stanza) -> bool:
    """Whether an answer to an account is one to a question of the keeper of its nodes: then it is handed on."""
    if not iq.id.startswith(THEIRS):
        return False
    query = iq.find(NS_DISCO_INFO, "query") if iq.type == "result" and len(iq.inner) <= MAX_ANSWER else None
    encoded = b"" if query is None else query.encode()
    core.bus.post(Kind.PUBSUB, part.number, TheirAnswer(account, iq.from_, iq.id, encoded))
    return True
