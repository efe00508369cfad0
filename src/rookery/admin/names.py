"""Names as operators write them, prepared. Raises Invalid."""

from __future__ import annotations

from rookery.admin.errors import Invalid
from rookery.shared.xmpp.jid import Jid, prepare_domain


def account(text: str) -> Jid:
    """A user: a bare JID with a localpart."""
    jid = address(text)
    if jid.local is None or jid.resource is not None:
        raise Invalid(f"{text!r} is not a user: write it as alice@localhost")
    return jid


def user(text: str) -> Jid:
    """A user, or one session of it."""
    jid = address(text)
    if jid.local is None:
        raise Invalid(f"{text!r} is not a user: write it as alice@localhost")
    return jid


def room(text: str) -> Jid:
    """A room: a bare JID with a localpart."""
    jid = address(text)
    if jid.local is None or jid.resource is not None:
        raise Invalid(f"{text!r} is no room: write it as garden@conference.localhost")
    return jid


def address(text: str) -> Jid:
    """Any address."""
    try:
        return Jid.parse(text)
    except ValueError as error:
        raise Invalid(f"{text!r} is not an address: {error}") from None


def domain(text: str) -> str:
    """A domain."""
    try:
        return prepare_domain(text)
    except ValueError as error:
        raise Invalid(f"{text!r} is not a domain: {error}") from None
