"""The settings of a node (XEP-0060 sections 8.2 and 16.4.4): one table of fields, their defaults for services and for accounts. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgpack

from rookery.shared.xeps import data_forms
from rookery.shared.xmpp.errors import JidError, StanzaError
from rookery.shared.xmpp.jid import Jid
from rookery.shared.xmpp.xml import Element
from rookery.workers.pubsub.errors import error

FORM: Final = "http://jabber.org/protocol/pubsub#node_config"
OPTIONS: Final = "http://jabber.org/protocol/pubsub#publish-options"
_PREFIX: Final = "pubsub#"
MAX: Final = "max"
#: Octets of a text, and values of a field that has many.
MAX_TEXT: Final = 1024
MAX_VALUES: Final = 64

Value = str | bool | tuple[str, ...]


class Limits(NamedTuple):
    """What a service allows a node: items, and octets of one payload."""

    items: int
    payload_bytes: int


class Field(NamedTuple):
    """A setting: `type` as in XEP-0004, what it is by default at a service and at an account, and what it may be."""

    type: str
    label: str
    service: Value
    account: Value
    choices: Sequence[str] = ()


ACCESS: Final = ("open", "presence", "roster", "authorize", "whitelist")
#: Of these, what a service cannot know: whose presence its owners see, and their rosters.
OF_ACCOUNTS: Final = frozenset({"presence", "roster"})
_LIST, _TEXT, _BOOL, _MANY, _JIDS = "list-single", "text-single", "boolean", "list-multi", "jid-multi"

FIELDS: Final[Mapping[str, Field]] = {
    "title": Field(_TEXT, "Title", "", ""),
    "description": Field(_TEXT, "Description", "", ""),
    "language": Field(_TEXT, "Language", "", ""),
    "type": Field(_TEXT, "Type of the payloads, usually their namespace", "", ""),
    "contact": Field(_JIDS, "Whom to ask", (), ()),
    "node_type": Field(_LIST, "Leaf or collection", "leaf", "leaf", ("leaf",)),
    "access_model": Field(_LIST, "Who may subscribe and retrieve items", "open", "presence", ACCESS),
    "roster_groups_allowed": Field(_MANY, "Groups of the roster that may subscribe", (), ()),
    "publish_model": Field(
        _LIST, "Who may publish", "publishers", "publishers", ("publishers", "subscribers", "open")
    ),
    "publish_node_full": Field(
        _LIST,
        "What becomes of the oldest item when there are too many",
        "discard-oldest",
        "discard-oldest",
        ("retract-oldest", "discard-oldest", "reject"),
    ),
    "subscribe": Field(_BOOL, "Whether it can be subscribed to", True, True),
    "persist_items": Field(_BOOL, "Whether items are kept", True, True),
    "max_items": Field(_TEXT, "How many items are kept, or max", MAX, "1"),
    "item_expire": Field(_TEXT, "Seconds after which items go, or max", MAX, MAX),
    "max_payload_size": Field(_TEXT, "Largest payload in bytes", "", ""),
    "send_last_published_item": Field(
        _LIST,
        "When the last item is sent",
        "on_sub",
        "on_sub_and_presence",
        ("never", "on_sub", "on_sub_and_presence"),
    ),
    "deliver_notifications": Field(_BOOL, "Whether subscribers are notified", True, True),
    "deliver_payloads": Field(_BOOL, "Whether notifications have payloads", True, True),
    "notification_type": Field(
        _LIST, "Type of notifications", "headline", "headline", ("normal", "headline")
    ),
    "notify_config": Field(_BOOL, "Notify of changes of the settings", False, False),
    "notify_delete": Field(_BOOL, "Notify of the node's end", True, True),
    "notify_retract": Field(_BOOL, "Notify of items that are removed", True, True),
    "notify_sub": Field(_BOOL, "Notify owners of subscribers", False, False),
    "presence_based_delivery": Field(_BOOL, "Notify available subscribers only", False, False),
    "itemreply": Field(_LIST, "Who gets replies to items", "owner", "owner", ("owner",)),
}
_NUMBERS: Final = frozenset({"max_items", "item_expire", "max_payload_size"})
_DEFAULTS: Final = (
    {name: field.service for name, field in FIELDS.items()},
    {name: field.account for name, field in FIELDS.items()},
)


class Config:
    """The settings of one node. `changed` is what is not as by default; `account` says which defaults."""

    __slots__ = ("account", "changed")

    def __init__(self, account: bool, changed: Mapping[str, Value] | None = None) -> None:
        self.account = account
        self.changed: dict[str, Value] = dict(changed or {})

    def __getitem__(self, name: str) -> Value:
        found = self.changed.get(name)
        return _DEFAULTS[self.account][name] if found is None else found

    def text(self, name: str) -> str:
        """A setting of one value."""
        value = self[name]
        assert isinstance(value, str)
        return value

    def on(self, name: str) -> bool:
        """A setting that is on or off."""
        return self[name] is True

    def values(self, name: str) -> tuple[str, ...]:
        """A setting of many values."""
        value = self[name]
        assert isinstance(value, tuple)
        return value

    def max_items(self, limits: Limits) -> int:
        """How many items are kept; 0 for none."""
        if not self.on("persist_items"):
            return 0
        text = self.text("max_items")
        return limits.items if text == MAX else min(int(text), limits.items)

    def max_payload(self, limits: Limits) -> int:
        """The largest payload in octets."""
        text = self.text("max_payload_size")
        return min(int(text), limits.payload_bytes) if text else limits.payload_bytes

    def expire(self) -> int:
        """Seconds after which an item goes; 0: never."""
        text = self.text("item_expire")
        return 0 if text == MAX else int(text)

    def with_(self, changes: Mapping[str, Value]) -> Config:
        """Other settings: what is as by default is not kept. Raises StanzaError for what only accounts can have."""
        if not self.account and changes.get("access_model") in OF_ACCOUNTS:
            raise _unacceptable("access_model")
        defaults = _DEFAULTS[self.account]
        merged = {**self.changed, **changes}
        return Config(
            self.account, {name: value for name, value in merged.items() if defaults[name] != value}
        )

    def pack(self) -> bytes:
        """For the database."""
        return bytes(msgpack.packb(self.changed))

    @staticmethod
    def unpack(account: bool, data: bytes) -> Config:
        """From the database; what this version does not know is left out."""
        found: dict[str, Any] = msgpack.unpackb(data, use_list=False)
        return Config(account, {name: value for name, value in found.items() if name in FIELDS})

    # --- forms -------------------------------------------------------------------------------------------------------

    def form(self, limits: Limits, type: str = "form") -> Element:
        """The form of all settings (section 8.2.1)."""
        out = data_forms.form(type, FORM, ())
        for name, field in FIELDS.items():
            value = self[name]
            if name == "max_payload_size" and not value:
                value = str(limits.payload_bytes)
            texts = ("1" if value else "0",) if isinstance(value, bool) else _many(value)
            element = Element(
                data_forms.NS,
                "field",
                {"var": _PREFIX + name, "type": field.type, "label": field.label},
                *(Element(data_forms.NS, "value", None, text) for text in texts),
            )
            if type == "form":
                element.children += [
                    Element(data_forms.NS, "option", None, Element(data_forms.NS, "value", None, choice))
                    for choice in field.choices
                    if self.account or choice not in OF_ACCOUNTS
                ]
            out.children.append(element)
        return out


def _many(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return value if isinstance(value, tuple) else (value,)


def read_form(x: Element, form_type: str, limits: Limits, *, strict: bool = False) -> dict[str, Value]:
    """The settings that a submitted form names. Raises StanzaError.

    Unknown fields are ignored (XEP-0068 section 3.4), unless `strict`: then they are refused (section 7.1.5).
    """
    found = data_forms.values(x)
    said = found.pop("FORM_TYPE", [form_type])
    if said not in ([form_type], [FORM]):
        raise StanzaError("bad-request", "this is another form")
    settings: dict[str, Value] = {}
    for var, values in found.items():
        name = var.removeprefix(_PREFIX)
        field = FIELDS.get(name) if var.startswith(_PREFIX) else None
        if field is None:
            if strict:
                raise precondition(f"there is no {var[:64]}")
            continue
        settings[name] = _READ[field.type](name, values, limits)
    return settings


def _single(name: str, values: Sequence[str], limits: Limits) -> str:
    text = values[0].strip() if values else ""
    if len(values) > 1 or len(text.encode()) > MAX_TEXT:
        raise _unacceptable(name)
    if name in _NUMBERS:
        return _number(name, text, limits)
    return text


def _number(name: str, text: str, limits: Limits) -> str:
    if text == MAX and name != "max_payload_size":
        return MAX
    if not text and name != "max_items":
        return MAX if name == "item_expire" else ""
    if not (text.isascii() and text.isdigit()) or len(text) > 9:
        raise _unacceptable(name)
    number = int(text)
    if name == "max_items" and number > limits.items:
        # Section 16.4.4: `max` says how many there may be.
        raise error("not-acceptable", "max-items-exceeded", f"at most {limits.items} items are kept")
    if number == 0 and name != "max_items":
        return MAX if name == "item_expire" else ""
    return str(number)


def _choice(name: str, values: Sequence[str], limits: Limits) -> str:
    text = _single(name, values, limits)
    if text not in FIELDS[name].choices:
        raise _unacceptable(name)
    return text


def _flag(name: str, values: Sequence[str], limits: Limits) -> bool:
    text = _single(name, values, limits)
    if text not in ("0", "1", "true", "false"):
        raise _unacceptable(name)
    return text in ("1", "true")


def _texts(name: str, values: Sequence[str], limits: Limits) -> tuple[str, ...]:
    if len(values) > MAX_VALUES or any(len(value.encode()) > MAX_TEXT for value in values):
        raise _unacceptable(name)
    return tuple(value for value in values if value)


def _addresses(name: str, values: Sequence[str], limits: Limits) -> tuple[str, ...]:
    try:
        return tuple(Jid.parse(value).full for value in _texts(name, values, limits))
    except JidError as exc:
        raise _unacceptable(name) from exc


_READ: Final[dict[str, Callable[[str, Sequence[str], Limits], Value]]] = {
    _TEXT: _single,
    _LIST: _choice,
    _BOOL: _flag,
    _MANY: _texts,
    _JIDS: _addresses,
}


def _unacceptable(name: str) -> StanzaError:
    text = f"this is no {_PREFIX}{name}"
    if name == "access_model":
        return error("not-acceptable", "unsupported-access-model", text)
    return StanzaError("not-acceptable", text, type="modify")


def precondition(text: str) -> StanzaError:
    """The node is not as the publisher wants it (section 7.1.5)."""
    return error("conflict", "precondition-not-met", text)


def check(config: Config, wanted: Mapping[str, Value], limits: Limits) -> None:
    """Compare what a publisher wants with what the node is. Raises StanzaError."""
    for name, value in wanted.items():
        there = config[name]
        if name == "max_items" and isinstance(value, str) and isinstance(there, str):
            same = _count(value, limits) == _count(there, limits)
        else:
            same = there == value
        if not same:
            raise precondition(f"{_PREFIX}{name} is not as you want it")


def _count(text: str, limits: Limits) -> int:
    return limits.items if text == MAX else min(int(text), limits.items)
