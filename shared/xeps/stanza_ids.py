"""XEP-0359: Unique and Stable Stanza IDs."""

from __future__ import annotations

from typing import Final

from rookery.shared.xeps._xep import Target, Xep
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import escape_attr

NS: Final = "urn:xmpp:sid:0"
XEP = Xep(
    359,
    "0.7.0",
    "complete",
    features={Target.DOMAIN: (NS,), Target.ACCOUNT: (NS,)},
    implemented_in="router",
    note="the id in the account's archive; forged ones are removed",
)
_NAME: Final = (NS, "stanza-id")
_MIDDLE: Final = b"' id='"
_END: Final = b"'/>"
#: `_replace` goes by names: six times the price, for each message that is archived.
_new: Final = tuple.__new__


def prefix(by: str) -> bytes:
    """The part of our element that is the same for every message of the account `by`."""
    return f"<stanza-id xmlns='{NS}' by='{escape_attr(by)}".encode() + _MIDDLE


def identified(stanza: Stanza, prefix: bytes, id: str) -> Stanza:
    """The message with our id at its end; `prefix` names who gave it. Forged ones were removed before."""
    kind, type_, to, from_, stanza_id, lang, attrs, payloads, inner = stanza
    inner = b"%b%b%b%b" % (inner, prefix, id.encode(), _END)
    return _new(Stanza, (kind, type_, to, from_, stanza_id, lang, attrs, (*payloads, _NAME), inner))


def split(stanza: Stanza, prefix: bytes) -> tuple[Stanza, str]:
    """The message without our id, and that id ("" when it has none of `prefix`): undoes `identified`."""
    inner = stanza.inner
    at = inner.rfind(prefix)
    if at < 0 or not inner.endswith(_END):
        return stanza, ""
    id = inner[at + len(prefix) : -len(_END)].decode()
    if "'" in id or tuple(stanza.payloads[-1]) != _NAME:
        return stanza, ""  # something came behind it
    return stanza._replace(payloads=tuple(stanza.payloads[:-1]), inner=inner[:at]), id
