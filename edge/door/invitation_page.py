"""The page of an invitation (XEP-0401 section 4.2, XEP-0379 section 3.3), in German and English: no scripts, nothing from elsewhere.

It says who invites and to what, has a link that a client opens, the same as a QR code for another device, and names clients.
"""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape
from io import BytesIO
from typing import Final, NamedTuple
from urllib.parse import quote

import segno

from rookery.edge.door.document import HEADERS as HEADERS
from rookery.edge.door.document import document, language
from rookery.shared.bus.messages import Invited
from rookery.shared.observe.exchange import Response
from rookery.shared.xeps.invitations import address

#: (name, where it runs, address)
_CLIENTS: Final = (
    ("Conversations", "Android", "https://conversations.im/"),
    ("Monal", "iOS, macOS", "https://monal-im.org/"),
    ("Dino", "Linux, Windows", "https://dino.im/"),
    ("Gajim", "Linux, Windows, macOS", "https://gajim.org/"),
)


class _Words(NamedTuple):
    lang: str
    title: str
    invited: str
    invited_by: str
    account: str
    has_account: str
    kept: str
    go: str
    no_client: str
    other_device: str
    here: str
    qr: str
    by_hand: str
    until: str
    more: str
    gone_title: str
    gone: str
    later_title: str
    later: str


_ENGLISH: Final = _Words(
    "en",
    "Invitation to {domain}",
    "You are invited to chat with XMPP.",
    "{inviter} invites you to chat with XMPP.",
    "You can make an account on {domain}.",
    "You need an account of your own, of any XMPP server: this one makes none with invitations.",
    "The username {username} is kept for you.",
    "Open in a chat app",
    "If nothing happens, install a chat app first, then come back to this page:",
    "On another device",
    "Or make your account in this browser",
    "QR code with the address of the invitation",
    "Or write this address into your chat app:",
    "The invitation holds until {until} UTC.",
    "More apps",
    "This invitation does not hold any more",
    "It was used, its time is over, or the address is not whole. Ask whoever gave it to you for another one.",
    "Please try again",
    "The server cannot look at the invitation now. Load this page again in a minute.",
)
_GERMAN: Final = _Words(
    "de",
    "Einladung zu {domain}",
    "Sie sind eingeladen, mit XMPP zu chatten.",
    "{inviter} lädt Sie ein, mit XMPP zu chatten.",
    "Sie können ein Konto auf {domain} anlegen.",
    "Sie brauchen ein eigenes Konto bei irgendeinem XMPP-Server: Dieser legt mit Einladungen keine an.",
    "Der Benutzername {username} ist für Sie reserviert.",
    "In einer Chat-App öffnen",
    "Wenn nichts geschieht, installieren Sie zuerst eine Chat-App und kommen dann auf diese Seite zurück:",
    "Auf einem anderen Gerät",
    "Oder legen Sie Ihr Konto in diesem Browser an",
    "QR-Code mit der Adresse der Einladung",
    "Oder geben Sie diese Adresse in Ihrer Chat-App ein:",
    "Die Einladung gilt bis {until} UTC.",
    "Weitere Apps",
    "Diese Einladung gilt nicht mehr",
    "Sie wurde benutzt, ihre Zeit ist vorbei, oder die Adresse ist unvollständig. Bitten Sie um eine neue.",
    "Bitte versuchen Sie es noch einmal",
    "Der Server kann die Einladung gerade nicht prüfen. Laden Sie diese Seite in einer Minute neu.",
)


def words(accept_language: str) -> _Words:
    """The language that a browser prefers of the two."""
    return _GERMAN if language(accept_language) == "de" else _ENGLISH


def _document(said: _Words, title: str, body: str) -> bytes:
    return document(said.lang, title, body)


def page(domain: str, token: str, invited: Invited, accept_language: str, join: str = "") -> Response:
    """The page of a valid invitation; `join` is the path where a browser makes an account, "" for none."""
    said = words(accept_language)
    link = address(domain, invited.username, invited.inviter, token, joins=invited.joins)
    until = datetime.fromtimestamp(invited.expires, UTC).strftime("%Y-%m-%d %H:%M")
    facts = [
        said.invited_by.format(inviter=escape(invited.inviter)) if invited.inviter else said.invited,
        said.account.format(domain=escape(domain)) if invited.joins else said.has_account,
    ]
    if invited.username and invited.joins:
        facts.append(said.kept.format(username=f"<strong>{escape(invited.username)}</strong>"))
    clients = "".join(
        [
            f'<li><a href="{address}" rel="noreferrer">{name}</a> ({where})</li>'
            for name, where, address in _CLIENTS
        ]
    )
    here = (
        f'<p><a href="{join}?t={quote(token, safe="")}">{said.here}</a></p>' if join and invited.joins else ""
    )
    body = (
        f"<p>{' '.join(facts)}</p>"
        f'<p><a class="go" href="{escape(link)}">{said.go}</a></p>'
        f"{here}<p>{said.no_client}</p><ul>{clients}"
        f'<li><a href="https://xmpp.org/software/" rel="noreferrer">{said.more}</a></li></ul>'
        f"<h2>{said.other_device}</h2>{_code(link, said.qr)}"
        f"<p>{said.by_hand}<br><code>{escape(link)}</code></p><p>{said.until.format(until=until)}</p>"
    )
    return Response(
        200,
        _document(said, said.title.format(domain=escape(domain)), body),
        "text/html; charset=utf-8",
        HEADERS,
    )


def refusal(known: bool, accept_language: str) -> Response:
    """The page of a token that is not valid; or, when it is not `known` whether it is, of a server that cannot say now."""
    said = words(accept_language)
    title, text = (said.gone_title, said.gone) if known else (said.later_title, said.later)
    status = 404 if known else 503
    return Response(status, _document(said, title, f"<p>{text}</p>"), "text/html; charset=utf-8", HEADERS)


def _code(text: str, label: str) -> str:
    out = BytesIO()
    segno.make(text, error="m").save(
        out, kind="svg", xmldecl=False, svgns=False, omitsize=True, border=2, title=label, nl=False
    )
    return out.getvalue().decode().replace("<svg", f'<svg role="img" aria-label="{escape(label)}"', 1)
