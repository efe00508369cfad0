"""Records as a file of XEP-0227. What that has no place for (mail addresses, rooms) stands in elements of our own namespace. Pure."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Final

from rookery.moving.pie import BLOCKING, FORWARD, OWNER, PREFERENCES, PRIVATE, PUBSUB, ROSTER, SCRAM
from rookery.moving.pie_rooms import OURS, element_of, stamped, stanza_element
from rookery.moving.records import NODE_LIMITS, Contact, Message, Node, Person, Room
from rookery.moving.xml import MAM, PIE
from rookery.shared.xmpp.parse import parse_element
from rookery.shared.xmpp.xml import Element, escape_attr
from rookery.workers.account.credentials import Keys

HEAD: Final = f"<?xml version='1.0' encoding='UTF-8'?>\n<server-data xmlns='{PIE}'>\n".encode()
TAIL: Final = b"</server-data>\n"


HOST_END: Final = b"</host>\n"


def host(domain: str) -> bytes:
    """The beginning of a host."""
    return f"<host jid='{escape_attr(domain)}'>\n".encode()


def record(one: Person | Room) -> Iterator[bytes]:
    """A record, in pieces."""
    if isinstance(one, Person):
        yield from user(one)
    else:
        yield element_of(one).encode(PIE) + b"\n"


def user(person: Person) -> Iterator[bytes]:
    """One user, in pieces."""
    yield f"<user name='{escape_attr(person.local)}'>\n".encode()
    for element in _small(person):
        yield element.encode(PIE) + b"\n"
    for name, xml, wanted in (
        ("offline-messages", PIE, [one for one in person.messages if one.owed]),
        ("archive", MAM, [one for one in person.messages if one.archived]),
    ):
        if wanted:
            yield f"<{name} xmlns='{xml}'>\n".encode()
            for number, message in enumerate(wanted, 1):
                element = _waiting(message, person.domain) if xml == PIE else _result(message, number)
                yield element.encode(xml) + b"\n"
            yield f"</{name}>\n".encode()
    yield b"</user>\n"


def _small(person: Person) -> Iterator[Element]:
    yield from (_scram(one) for one in person.keys)
    attrs = {"email": person.email, "disabled": "true" if person.disabled else ""}
    if person.created:
        attrs["created"] = stamped(person.created)
    if said := {key: value for key, value in attrs.items() if value}:
        yield Element(OURS, "account", said)
    listed = [one for one in person.contacts if one.listed]
    if listed:
        yield Element(ROSTER, "query", None, *(_item(one) for one in listed))
    for contact in person.contacts:
        if contact.request is not None:
            yield parse_element(contact.request.encode())
    if person.card:
        yield parse_element(person.card)
    if person.private:
        yield Element(PRIVATE, "query", None, *(parse_element(xml) for _, _, xml in person.private))
    if person.blocked:
        yield Element(
            BLOCKING, "blocklist", None, *(Element(BLOCKING, "item", {"jid": jid}) for jid in person.blocked)
        )
    if person.preferences is not None:
        fallback, always, never = person.preferences
        lists = [
            Element(PREFERENCES, name, None, *(Element(PREFERENCES, "jid", None, jid) for jid in jids))
            for name, jids in (("always", always), ("never", never))
        ]
        yield Element(PREFERENCES, "prefs", {"default": fallback}, *lists)
    if person.nodes:
        yield Element(OWNER, "pubsub", None, *(part for node in person.nodes for part in _configured(node)))
        yield Element(PUBSUB, "pubsub", None, *(_items(node) for node in person.nodes))


def _scram(keys: Keys) -> Element:
    def part(name: str, text: str) -> Element:
        return Element(SCRAM, name, None, text)

    return Element(
        SCRAM,
        "scram-credentials",
        {"mechanism": keys.mechanism},
        part("iter-count", str(keys.iterations)),
        part("salt", base64.b64encode(keys.salt).decode()),
        part("server-key", base64.b64encode(keys.server_key).decode()),
        part("stored-key", base64.b64encode(keys.stored_key).decode()),
    )


def _item(contact: Contact) -> Element:
    subscription = ("none", "to", "from", "both")[contact.to + 2 * contact.from_]
    attrs = {"jid": contact.jid, "name": contact.name, "subscription": subscription}
    if contact.asked:
        attrs["ask"] = "subscribe"
    if contact.approved:
        attrs["approved"] = "true"
    groups = (Element(ROSTER, "group", None, group) for group in contact.groups)
    return Element(ROSTER, "item", {key: value for key, value in attrs.items() if value}, *groups)


def _waiting(message: Message, domain: str) -> Element:
    element = stanza_element(message)
    element.children.append(
        Element("urn:xmpp:delay", "delay", {"from": domain, "stamp": stamped(message.stamp)})
    )
    return element


def _result(message: Message, number: int) -> Element:
    delay = Element("urn:xmpp:delay", "delay", {"stamp": stamped(message.stamp)})
    forwarded = Element(FORWARD, "forwarded", None, delay, stanza_element(message))
    return Element(PREFERENCES, "result", {"id": str(number)}, forwarded)


def _configured(node: Node) -> Iterator[Element]:
    yield Element(OWNER, "configure", {"node": node.name}, node.config.form(NODE_LIMITS, "submit"))
    if node.affiliations:
        listed = (
            Element(OWNER, "affiliation", {"jid": jid, "affiliation": one}) for jid, one in node.affiliations
        )
        yield Element(OWNER, "affiliations", {"node": node.name}, *listed)
    if node.subscribers:
        known = (
            Element(OWNER, "subscription", {"jid": one.jid, "subscription": one.state, "subid": one.subid})
            for one in node.subscribers
        )
        yield Element(OWNER, "subscriptions", {"node": node.name}, *known)


def _items(node: Node) -> Element:
    items = []
    for one in node.items:
        attrs = {"id": one.id, "publisher": one.publisher}
        if one.published:
            attrs[f"{{{OURS}}}published"] = stamped(one.published)
        payload = (parse_element(one.payload),) if one.payload else ()
        items.append(Element(PUBSUB, "item", attrs, *payload))
    return Element(PUBSUB, "items", {"node": node.name}, *items)
