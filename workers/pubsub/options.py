"""Options of a subscription (XEP-0060 sections 6.3 and 16.4.2). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgpack

from rookery.shared.xeps import data_forms
from rookery.shared.xmpp.xml import Element
from rookery.workers.pubsub.errors import error

FORM: Final = "http://jabber.org/protocol/pubsub#subscribe_options"
_PREFIX: Final = "pubsub#"
_LABELS: Final = {
    "deliver": ("boolean", "Whether to be notified", "1"),
}


def read(x: Element) -> dict[str, str]:
    """What a submitted form wants that is not as by default. Raises StanzaError."""
    values = data_forms.values(x)
    if values.get("FORM_TYPE", [FORM]) != [FORM]:
        raise error("bad-request", "invalid-options")
    found: dict[str, str] = {}
    for var, given in values.items():
        name = var.removeprefix(_PREFIX)
        if name == "deliver":
            if len(given) != 1 or given[0] not in ("0", "1", "true", "false"):
                raise error("bad-request", "invalid-options", "deliver is a boolean")
            if given[0] in ("0", "false"):
                found["deliver"] = "0"
        elif (
            name in ("digest", "include_body") and given not in (["0"], ["false"])
        ) or name == "show-values":
            raise error("bad-request", "invalid-options", f"there is no {name}")
    return found


def form(options: Mapping[str, str]) -> Element:
    """The form of a subscription's options."""
    out = data_forms.form("form", FORM, ())
    for name, (type, label, default) in _LABELS.items():
        values = options.get(name, default).split()
        out.children.append(
            Element(
                data_forms.NS,
                "field",
                {"var": _PREFIX + name, "type": type, "label": label},
                *(Element(data_forms.NS, "value", None, value) for value in values),
            )
        )
    return out


def pack(options: Mapping[str, str]) -> bytes:
    """For the database."""
    return bytes(msgpack.packb(dict(options)))


def unpack(data: bytes) -> dict[str, str]:
    """From the database."""
    found: dict[str, str] = msgpack.unpackb(data)
    return found
