"""Prosody's folder of data (`data_path`, internal storage of 0.10 to 0.12): one folder for each host, in it one for each store.

`person` and `room` are pure: the bytes of one owner's files become a record. `read` walks through a folder.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from rookery.moving import lua, parts
from rookery.moving.prosody_rooms import room
from rookery.moving.prosody_tables import Table, element, integer, stored_stamp, table, text
from rookery.moving.records import (
    Contact,
    Item,
    Left,
    Message,
    MovingError,
    Node,
    Person,
    Preferences,
    Record,
)
from rookery.shared.xmpp.errors import JidError
from rookery.shared.xmpp.jid import Jid, prepare_domain, prepare_local
from rookery.shared.xmpp.sasl.common import prepare_password
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element
from rookery.workers.account.credentials import Keys
from rookery.workers.pubsub.config import FIELDS

#: Stores that become parts of a person; what else is there is told.
_USED: Final = frozenset(
    {
        "accounts",
        "roster",
        "vcard",
        "private",
        "offline",
        "archive",
        "archive_prefs",
        "blocklist",
        "pep",
        "account_details",
    }
)
#: Stores that belong to the running server, or that other stores repeat.
_NEEDLESS: Final = frozenset(
    {"account_activity", "account_flags", "account_roles", "auth_tokens", "cron", "lastlog", "lastlog2", "roles",
     "smacks_h", "tokenauth", "caps", "pep_bare", "firewall", "limits", "invites_token"}
)  # fmt: skip
#: What Prosody calls settings of nodes otherwise than XEP-0060.
_RENAMED: Final = {
    "include_payload": "deliver_payloads",
    "notify_items": "deliver_notifications",
    "payload_type": "type",
}
_HASHES: Final = {20: "SCRAM-SHA-1", 32: "SCRAM-SHA-256"}
_FALLBACKS: Final = {True: "always", False: "never", "roster": "roster"}
_ENCODED: Final = re.compile(r"%([0-9a-fA-F]{2})")


def read(folder: Path) -> Iterator[Record]:
    """The records of a folder. Raises MovingError when it is none of Prosody's."""
    hosts = [path for path in sorted(folder.iterdir()) if path.is_dir()] if folder.is_dir() else []
    known = [path for path in hosts if (path / "accounts").is_dir() or (path / "config").is_dir()]
    if not known:
        raise MovingError(f"{folder} has no accounts of Prosody: name its data_path (often /var/lib/prosody)")
    for path in known:
        try:
            host = prepare_domain(unquote(path.name))
        except JidError:
            yield Left(path.name, "hosts whose names no domain can have")
            continue
        if (path / "accounts").is_dir():
            yield from _people(path, host)
        if (path / "config").is_dir():
            yield from _rooms(path, host)


def _people(path: Path, host: str) -> Iterator[Record]:
    stores = {unquote(store.name): store for store in sorted(path.iterdir()) if store.is_dir()}
    for account in sorted((path / "accounts").glob("*.dat")):
        files = {
            name: found for name, store in stores.items() if (found := _file(store, account.stem)) is not None
        }
        yield from person(unquote(account.stem), host, files)


def _rooms(path: Path, host: str) -> Iterator[Record]:
    for config in sorted((path / "config").glob("*.dat")):
        log = _file(path / "muc_log", config.stem)
        try:
            yield from room(unquote(config.stem), host, config.read_bytes(), log)
        except MovingError as error:
            yield Left(f"{unquote(config.stem)}@{host}", f"rooms that cannot be read ({error})")


def _file(store: Path, stem: str) -> bytes | None:
    for suffix in (".dat", ".list"):
        path = store / (stem + suffix)
        if path.is_file() and not path.is_symlink():
            return path.read_bytes()
    return None


def person(name: str, host: str, files: Mapping[str, bytes]) -> Iterator[Person | Left]:
    """The person of these stores."""
    who = f"{name}@{host}"
    try:
        local = prepare_local(name)
        Jid.parse(f"{local}@{host}")
    except JidError:
        yield Left(who, "accounts whose names no account can have")
        return
    reader = _Person(f"{local}@{host}", files)
    made = reader.person(local, host)
    yield from reader.left
    if made is not None:
        yield made


class _Person:
    def __init__(self, me: str, files: Mapping[str, bytes]) -> None:
        self._me = me
        self._files = files
        self.left: list[Left] = []

    def tell(self, what: str) -> None:
        self.left.append(Left(self._me, what))

    def _table(self, store: str) -> Table:
        data = self._files.get(store)
        try:
            return table(lua.read(data)) if data is not None else {}
        except MovingError as error:
            self.tell(f"files that cannot be read: {store} ({error})")
            return {}

    def _list(self, store: str) -> Iterator[Table]:
        data = self._files.get(store)
        try:
            if data is not None and data.lstrip()[:6] == b"return":
                yield from (table(one) for one in table(lua.read(data)).values())
            elif data is not None:
                yield from (table(one) for one in lua.read_list(data))
        except MovingError as error:
            self.tell(f"files that cannot be read: {store} ({error})")

    def person(self, local: str, host: str) -> Person | None:
        for store in self._files:
            if store not in _USED | _NEEDLESS and not store.startswith("pep_"):
                self.tell(f"store {store}")
        account = self._table("accounts")
        password, keys = self._credentials(account)
        nodes = self._nodes()
        private = {}
        for value in self._table("private").values():
            one = element(value)
            if one is not None:
                private[one.ns, one.name] = one
        kept, rest = parts.bookmarked(nodes, private, self._me)
        card = element(self._table("vcard"))
        details = self._table("account_details")
        return Person(
            local,
            host,
            password,
            keys,
            text(account.get("email")) or text(details.get("email")),
            bool(account.get("disabled")),
            float(integer(account.get("created")) or 0),
            self._contacts(),
            b"" if card is None else card.encode(),
            tuple(rest),
            self._blocked(),
            tuple(parts.merged(self._messages("archive"), self._messages("offline"))),
            tuple(kept),
            self._preferences(),
        )

    def _credentials(self, account: Table) -> tuple[str, tuple[Keys, ...]]:
        password = text(account.get("password"))
        if password:
            try:
                return prepare_password(password), ()
            except ValueError:
                self.tell("passwords that no client can send")
                return "", ()
        try:
            stored, server = (bytes.fromhex(text(account.get(name))) for name in ("stored_key", "server_key"))
        except ValueError:
            stored = server = b""
        salt = text(account.get("salt")).encode("utf-8", "surrogateescape")
        made = parts.keys(
            _HASHES.get(len(stored), ""), integer(account.get("iteration_count")) or 0, salt, stored, server
        )
        if made is None:
            self.tell("accounts without a password: they get none, and `rookery user passwd` gives them one")
        return "", () if made is None else (made,)

    def _contacts(self) -> tuple[Contact, ...]:
        roster = self._table("roster")
        found = []
        about = table(roster.get(False))
        waiting = table(about.get("pending")) | table(roster.get("pending"))
        for jid, value in roster.items():
            if not isinstance(jid, str) or jid == "pending":
                continue
            one = table(value)
            groups = [
                Element("", "group", None, group)
                for group in table(one.get("groups"))
                if isinstance(group, str)
            ]
            names = ("subscription", "name", "ask")
            attrs = {"jid": jid} | {name: said for name in names if (said := text(one.get(name)))}
            if one.get("approved"):
                attrs["approved"] = "true"
            made = parts.contact(Element("", "item", attrs, *groups))
            if made is None:
                self.tell("contacts whose addresses are none")
            else:
                found.append(made)
        requests = []
        for jid, value in waiting.items():
            bare = parts.address(jid if isinstance(jid, str) else "", bare=True)
            asked = element(value)
            stanza = None if asked is None else parts.stanza_of(asked)
            if bare:
                requests.append(
                    (stanza or Stanza.build("presence", type="subscribe"))._replace(
                        type="subscribe", from_=bare
                    )
                )
        return tuple(parts.with_requests(found, requests, self._me))

    def _blocked(self) -> tuple[str, ...]:
        jids = (
            parts.address(jid)
            for jid, value in self._table("blocklist").items()
            if isinstance(jid, str) and value
        )
        return tuple(dict.fromkeys(jid for jid in jids if jid))

    def _preferences(self) -> Preferences | None:
        found = self._table("archive_prefs")
        if not found:
            return None
        fallback = _FALLBACKS.get(found.get(False, True))
        lists: dict[bool, list[str]] = {True: [], False: []}
        for jid, value in found.items():
            if isinstance(jid, str) and isinstance(value, bool) and (prepared := parts.address(jid)):
                lists[value].append(prepared)
        return Preferences(fallback or "always", tuple(lists[True]), tuple(lists[False]))

    def _messages(self, store: str) -> list[Message]:
        found = []
        for one in self._list(store):
            said = element(one)
            stamp = stored_stamp(one)
            made = None if said is None else parts.message(said, self._me, stamp, owed=store == "offline")
            if made is None:
                self.tell("messages that cannot be read")
            else:
                found.append(made)
        return found

    def _nodes(self) -> dict[str, Node]:
        nodes = {}
        for name, value in self._table("pep").items():
            if not isinstance(name, str):
                continue
            about = table(value)
            items = []
            for one in self._list(f"pep_{name}"):
                said = element(one)
                if said is not None:
                    key = text(one.get("key")) or said.get("id") or "current"
                    if said.name != "item":
                        # What is stored is the payload; the stamp in it is the store's.
                        said.attrs.pop("stamp", None)
                        publisher = {"publisher": text(one.get("with"))}
                        said = Element("http://jabber.org/protocol/pubsub", "item", publisher, said)
                    said.attrs["id"] = key
                    items.append(_item(said, self._me, stored_stamp(one)))
            made = parts.node(name, parts.settings(_form(table(about.get("config"))), self.tell), items)
            affiliations = [
                (bare, one)
                for jid, one in table(about.get("affiliations")).items()
                if one in parts.AFFILIATIONS
                and (bare := parts.address(str(jid), bare=True))
                and bare != self._me
            ]
            nodes[name] = made._replace(affiliations=tuple((jid, str(one)) for jid, one in affiliations))
            if table(about.get("subscribers")):
                self.tell("subscriptions to nodes by name (contacts are notified without)")
        return nodes


def _item(said: Element, me: str, stamp: float | None) -> Item:
    said.attrs.pop("publisher", None) if not parts.address(said.get("publisher")) else None
    return parts.item(said, me, stamp or 0.0)


def _form(config: Table) -> Element:
    form = Element("jabber:x:data", "x")
    for key, value in config.items():
        name = _RENAMED.get(str(key), str(key))
        if name not in FIELDS or isinstance(value, dict) or value is None:
            continue
        said = ("1" if value else "0") if isinstance(value, bool) else str(value)
        if isinstance(value, float):
            said = str(int(value))
        form.children.append(
            Element(
                "jabber:x:data",
                "field",
                {"var": f"pubsub#{name}"},
                Element("jabber:x:data", "value", None, said),
            )
        )
    return form
