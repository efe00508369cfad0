"""XEP-0227: Portable Import/Export Format, as a reader: what Prosody's migrator, ejabberd (`export_piefxis`) and `rookery export` write. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator
from typing import Final

from rookery.moving import parts, xml
from rookery.moving.pie_rooms import OURS, room
from rookery.moving.records import (
    Contact,
    Item,
    Left,
    Message,
    MovingError,
    Person,
    Preferences,
    Record,
    Subscriber,
)
from rookery.shared.xmpp.errors import JidError
from rookery.shared.xmpp.jid import Jid, prepare_domain, prepare_local
from rookery.shared.xmpp.sasl.common import prepare_password
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element
from rookery.workers.account.credentials import Keys

SCRAM: Final = "urn:xmpp:pie:0#scram"
ROSTER: Final = "jabber:iq:roster"
PRIVATE: Final = "jabber:iq:private"
PRIVACY: Final = "jabber:iq:privacy"
VCARD: Final = "vcard-temp"
BLOCKING: Final = "urn:xmpp:blocking"
PREFERENCES: Final = "urn:xmpp:mam:2"
PUBSUB: Final = "http://jabber.org/protocol/pubsub"
OWNER: Final = "http://jabber.org/protocol/pubsub#owner"
FORWARD: Final = "urn:xmpp:forward:0"


def read(open_: xml.Open, name: str) -> Iterator[Record]:
    """The records of a file and of those that it includes. Raises MovingError for what is no such file."""
    host = ""
    user: _User | None = None
    for event in xml.events(open_, name):
        match event:
            case xml.Host(jid):
                try:
                    host = prepare_domain(jid)
                except JidError:
                    raise MovingError(f"{jid!r} is no domain") from None
            case xml.User(attrs):
                user = _user(attrs, host)
                if user is None:
                    yield Left(f"{attrs.get('name')}@{host}", "accounts whose names no account can have")
            case xml.Part(element, inside):
                if user is not None:
                    user.take(element, inside)
            case xml.Extra(element):
                if (element.ns, element.name) == (OURS, "room"):
                    yield from room(element, host)
                else:
                    yield Left(host, f"elements of hosts: {{{element.ns[:80]}}}{element.name[:40]}")
            case xml.End():
                if user is not None:
                    yield user.done()
                    yield from user.left
                user = None
            case _:
                pass


def _user(attrs: dict[str, str], host: str) -> _User | None:
    try:
        local = prepare_local(attrs.get("name", ""))
        Jid.parse(f"{local}@{host}")
    except (JidError, ValueError):
        return None
    return _User(local, host, attrs.get("password", ""))


class _User:
    """Collects what a user has."""

    def __init__(self, local: str, host: str, password: str) -> None:
        self._person = Person(local, host)
        self._me = self._person.jid
        self.left: list[Left] = []
        self._keys: dict[str, Keys] = {}
        self._password = self._told_password(password)
        self._contacts: list[Contact] = []
        self._requests: list[Stanza] = []
        self._private: dict[tuple[str, str], Element] = {}
        self._blocked: list[str] = []
        self._waiting: list[Message] = []
        self._archive: list[Message] = []
        self._forms: dict[str, Element | None] = {}
        self._items: dict[str, list[Item]] = {}
        self._affiliations: dict[str, list[tuple[str, str]]] = {}
        self._subscribers: dict[str, list[Subscriber]] = {}
        self._handlers: dict[tuple[str, str], Callable[[Element], None]] = {
            (SCRAM, "scram-credentials"): self._scram,
            (ROSTER, "query"): self._roster,
            (PRIVATE, "query"): self._private_xml,
            (PRIVACY, "query"): self._privacy,
            (BLOCKING, "blocklist"): self._blocklist,
            (PREFERENCES, "prefs"): self._prefs,
            (VCARD, "vCard"): self._card,
            (PUBSUB, "pubsub"): self._published,
            (OWNER, "pubsub"): self._configured,
            (OURS, "account"): self._account,
        }

    def tell(self, what: str) -> None:
        self.left.append(Left(self._me, what))

    def take(self, element: Element, inside: str) -> None:
        """An element of the user."""
        if inside:
            self._message(element, inside)
        elif element.name == "presence":
            self._presence(element)
        elif (handler := self._handlers.get((element.ns, element.name))) is not None:
            handler(element)
        else:
            self.tell(f"elements of users: {{{element.ns[:80]}}}{element.name[:40]}")

    def done(self) -> Person:
        """The person."""
        if not self._password and not self._keys:
            self.tell("accounts without a password: they get none, and `rookery user passwd` gives them one")
        forms = dict.fromkeys([*self._forms, *self._items])
        nodes = {}
        for name in forms:
            made = parts.node(
                name, parts.settings(self._forms.get(name), self.tell), self._items.get(name, [])
            )
            people = self._affiliations.get(name, ()), self._subscribers.get(name, ())
            nodes[name] = made._replace(affiliations=tuple(people[0]), subscribers=tuple(people[1]))
        kept, private = parts.bookmarked(nodes, self._private, self._me)
        return self._person._replace(
            password=self._password,
            keys=tuple(self._keys.values()),
            contacts=tuple(parts.with_requests(self._contacts, self._requests, self._me)),
            private=tuple(private),
            blocked=tuple(dict.fromkeys(self._blocked)),
            messages=tuple(parts.merged(self._archive, self._waiting)),
            nodes=tuple(kept),
        )

    # --- credentials ------------------------------------------------------------------------------------------------------

    def _told_password(self, password: str) -> str:
        """A prepared password. ejabberd writes keys there: `scram:` and, behind the hash unless that is SHA-1, four values."""
        if not password.startswith("scram:"):
            try:
                return prepare_password(password) if password else ""
            except ValueError:
                self.tell("passwords that no client can send")
                return ""
        fields = password.removeprefix("scram:").split(",")
        names = {"sha": "SCRAM-SHA-1", "sha256": "SCRAM-SHA-256"}
        mechanism = names.get(fields.pop(0).lower(), "") if len(fields) == 5 else "SCRAM-SHA-1"
        try:
            stored, server, salt, count = fields
            raw = [base64.b64decode(text, validate=True) for text in (salt, stored, server)]
            made = parts.keys(mechanism, int(count), *raw)
        except (ValueError, binascii.Error):
            made = None
        self._add(made)
        return ""

    def _scram(self, element: Element) -> None:
        self._add(parts.scram(element, SCRAM))

    def _add(self, made: Keys | None) -> None:
        if made is None:
            self.tell("keys of other mechanisms than SCRAM-SHA-1 and SCRAM-SHA-256, and broken ones")
        else:
            self._keys[made.mechanism] = made

    def _account(self, element: Element) -> None:
        get = element.attrs.get
        self._person = self._person._replace(
            email=get("email", "")[:320],
            disabled=get("disabled") == "true",
            created=parts.stamp_of(get("created")) or 0.0,
        )

    # --- what is small ------------------------------------------------------------------------------------------------------

    def _roster(self, query: Element) -> None:
        for item in query.elements(ROSTER, "item"):
            found = parts.contact(item)
            if found is None:
                self.tell("contacts whose addresses are none")
            else:
                self._contacts.append(found)

    def _presence(self, element: Element) -> None:
        stanza = parts.stanza_of(element)
        if stanza is None or stanza.type != "subscribe" or not stanza.from_:
            self.tell("requests whose senders are none")
        else:
            self._requests.append(stanza)

    def _private_xml(self, query: Element) -> None:
        self._private |= {(one.ns, one.name): one for one in query.elements()}

    def _privacy(self, query: Element) -> None:
        self._blocked += parts.denied(query, self.tell)

    def _blocklist(self, element: Element) -> None:
        self._blocked += [
            jid for one in element.elements(BLOCKING, "item") if (jid := parts.address(one.get("jid")))
        ]

    def _prefs(self, element: Element) -> None:
        lists = [element.find(PREFERENCES, name) for name in ("always", "never")]
        always, never = (
            tuple(jid for one in part.elements(PREFERENCES, "jid") if (jid := parts.address(one.text)))
            if part is not None
            else ()
            for part in lists
        )
        fallback = element.get("default")
        if fallback in ("always", "never", "roster"):
            self._person = self._person._replace(preferences=Preferences(fallback, always, never))

    def _card(self, element: Element) -> None:
        self._person = self._person._replace(card=element.encode())

    # --- messages -----------------------------------------------------------------------------------------------------------

    def _message(self, element: Element, inside: str) -> None:
        found: Message | None = None
        if inside == "offline-messages":
            found = parts.message(element, self._me, None, owed=True)
        elif (forwarded := element.find(FORWARD, "forwarded")) is not None:
            stanza = next((one for one in forwarded.elements() if one.name == "message"), None)
            when = parts.delayed(forwarded)
            found = None if stanza is None else parts.message(stanza, self._me, when)
        if found is None:
            self.tell("messages that cannot be read")
        elif inside == "archive":
            self._archive.append(found)
        else:
            self._waiting.append(found)

    # --- nodes --------------------------------------------------------------------------------------------------------------

    def _published(self, element: Element) -> None:
        for items in element.elements(PUBSUB, "items"):
            into = self._items.setdefault(items.get("node") or "", [])
            for one in items.elements(PUBSUB, "item"):
                stamp = parts.stamp_of(one.attrs.get(f"{{{OURS}}}published"))
                into.append(parts.item(one, self._me, stamp or 0.0))

    def _configured(self, element: Element) -> None:
        for child in element.elements(OWNER):
            name = child.get("node") or ""
            if child.name == "configure":
                self._forms[name] = child.find("jabber:x:data", "x")
            elif child.name == "affiliations":
                self._affiliations[name] = [
                    (jid, affiliation)
                    for one in child.elements(OWNER, "affiliation")
                    if (jid := parts.address(one.get("jid"), bare=True))
                    and (affiliation := one.get("affiliation") or "none") in parts.AFFILIATIONS
                ]
            elif child.name == "subscriptions":
                known = [parts.subscriber(one) for one in child.elements(OWNER, "subscription")]
                self._subscribers[name] = [one for one in known if one is not None]
