"""XEP-0401: Ad-hoc Account Invitation Generation."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from typing import Annotated, Final, Literal
from urllib.parse import quote

from rookery.shared.options import Section, about
from rookery.shared.xeps._xep import Xep

#: Where the page of an invitation is, on the HTTP port of every edge.
PATH: Final = "/invite"
#: 160 random bits as text that may stand in every URI.
TOKEN_BYTES: Final = 20
#: Commands of section 4.1, for contacts, and of section 4.4, for accounts; the form of what they answer.
INVITE: Final = "urn:xmpp:invite#invite"
CREATE: Final = "urn:xmpp:invite#create-account"
COMMANDS: Final = {INVITE: "Invite a contact", CREATE: "Invite a new user"}
INVITATION: Final = "urn:xmpp:invite#invitation"
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{16,64}")


class Options(Section, frozen=True):
    """Invitations to make an account, also where registration is closed (`rookery invite`)."""

    enabled: Annotated[bool, about("Take invitations, and serve their page")] = True
    days: Annotated[
        int, about("How long an invitation holds when nothing else is said", "days", ge=1, le=365)
    ] = 7
    url: Annotated[
        str,
        about("Public URL of the HTTP port, {domain} for the domain; empty: https://DOMAIN:PORT"),
    ] = ""
    contacts: Annotated[
        Literal["users", "admins", "nobody"],
        about(
            "Who invites contacts by a command; where accounts are made with invitations, such a contact may make one"
        ),
    ] = "users"
    accounts: Annotated[
        Literal["users", "admins", "nobody"],
        about("Who invites new users by a command, with a name of their choice"),
    ] = "admins"
    open_per_user: Annotated[
        int, about("Invitations of one user that are not used and not over", "invitations", ge=1)
    ] = 10


XEP = Xep(
    401,
    "0.5.0",
    "complete",
    options=Options,
    implemented_in="workers.account, edge, src.rookery.admin.adhoc",
    note="made by users with commands at their domain, by operators with `rookery invite`; each has a page",
)


def may(options: Options, node: str, *, admin: bool) -> bool:
    """Whether a user of the domain may use a command."""
    who = options.contacts if node == INVITE else options.accounts
    return options.enabled and (who == "users" or (who == "admins" and admin))


def digest(token: str) -> bytes | None:
    """What is kept of a token; None for what is surely none."""
    # It is random and long, so a fast hash without salt is as good as a slow one.
    return hashlib.sha256(token.encode()).digest() if _TOKEN.fullmatch(token) else None


def uri(domain: str, username: str, token: str) -> str:
    """What a client opens (section 4.4; XEP-0445 section 2)."""
    return f"xmpp:{quote(username, safe='') + '@' if username else ''}{domain}?register;preauth={token}"


def contact_uri(inviter: str, token: str) -> str:
    """What a client opens to become a contact, with an account that it has or makes (section 4.1; XEP-0379 section 3.2)."""
    local, _, domain = inviter.rpartition("@")
    return f"xmpp:{quote(local, safe='')}@{domain}?roster;preauth={token};ibr=y"


def address(domain: str, username: str, inviter: str, token: str, *, joins: bool = True) -> str:
    """The address of an invitation: of a contact unless a username is kept. `joins`: an account may be made with it."""
    if not inviter or username:
        return uri(domain, username, token)
    return contact_uri(inviter, token).removesuffix("" if joins else ";ibr=y")


def page(options: Options, domain: str, port: int, token: str) -> str:
    """The address of the page for people; "" where nothing says at which port edges listen."""
    if not options.url and not port:
        return ""
    base = options.url.replace("{domain}", domain) or f"https://{domain}{f':{port}' if port != 443 else ''}"
    return f"{base.rstrip('/')}{PATH}?t={token}"


def when(moment: float) -> str:
    """A time in Unix seconds, as XEP-0082 writes it."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
