"""The discussion history that somebody gets who enters (sections 7.2.13 and 7.2.14)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Final

from rookery.shared.xeps.delayed_delivery import stamped
from rookery.shared.xeps.multi_user_chat import NS
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element
from rookery.workers.muc.room.facts import Told
from rookery.workers.muc.room.presences import to
from rookery.workers.muc.room.values import Wanted

#: Limits that are kept once for all who ask for them.
_LIMITS: Final = 64
_NUMBER: Final = re.compile(r"\s*[+]?[0-9]{1,12}\s*\Z")
#: XEP-0082 section 3.2.
_MOMENT: Final = re.compile(
    r"\s*[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})\s*\Z"
)


def wanted(join: Element, now: float) -> Wanted:
    """What the element `<x/>` of a join asks for. Raises StanzaError bad-request for what is neither a number nor a date."""
    element = join.find(NS, "history")
    if element is None:
        return _limits(None, None)
    seconds = _number(element, "seconds")
    since = None if seconds is None else now - seconds
    moment = element.get("since")
    if moment is not None:
        at = _moment(moment)
        since = at if since is None else max(since, at)
    most = _number(element, "maxchars"), _number(element, "maxstanzas")
    return _limits(*most) if since is None else Wanted(*most, since)


@lru_cache(maxsize=_LIMITS)
def _limits(maxchars: int | None, maxstanzas: int | None) -> Wanted:
    return Wanted(maxchars, maxstanzas)


def _number(element: Element, name: str) -> int | None:
    text = element.get(name)
    if text is None:
        return None
    if not _NUMBER.match(text):
        raise StanzaError("bad-request", f"{name} is not a number")
    return int(text)


def _moment(text: str) -> float:
    if not _MOMENT.match(text):
        raise StanzaError("bad-request", "since is not a date and time of XEP-0082")
    whole, _, rest = text.strip().partition(".")
    zone = rest.lstrip("0123456789") if rest else ""
    try:
        return datetime.fromisoformat(whole + zone).timestamp()
    except (ValueError, OverflowError):
        raise StanzaError("bad-request", "no such time") from None


def chosen(history: Sequence[Told], wanted: Wanted, most: int, room: str, full: str) -> list[Stanza]:
    """The newest messages within all limits, oldest first, each whole and stamped by the room, for one occupant.

    Subjects are told after it, so they are no part of it.
    """
    limit = most if wanted.maxstanzas is None else min(most, wanted.maxstanzas)
    left = wanted.maxchars
    found: list[Stanza] = []
    for told in reversed(history):
        if len(found) >= limit or (wanted.since is not None and told.stamp < wanted.since):
            break
        stanza = told.stanza
        if is_subject(stanza):
            continue
        whole = to(stamped(stanza, told.stamp, room), full)
        if left is not None:
            left -= len(whole.encode().decode())
            if left < 0:
                break
        found.append(whole)
    found.reverse()
    return found


def is_subject(stanza: Stanza) -> bool:
    """A message with a subject, without body and thread (section 7.2.15)."""
    subject = False
    for namespace, name in stanza.payloads:
        if namespace == "jabber:client":
            if name == "subject":
                subject = True
            elif name in ("body", "thread"):
                return False
    return subject
