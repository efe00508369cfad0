"""The page where people change their password or remove their account, in German and English, without scripts.

The password of now is part of each form, so nothing is remembered between two requests, and no other site can send a form in somebody's name.
"""

from __future__ import annotations

from html import escape
from typing import Final, NamedTuple

from rookery.edge.door.document import language
from rookery.edge.door.forms import (
    LONGEST,
    RefusedError,
    answered,
    fields,
    filled_username,
    password_field,
    username_field,
)
from rookery.shared.bus.messages import ChangeAccount
from rookery.shared.observe.exchange import Response
from rookery.shared.xmpp.errors import JidError
from rookery.shared.xmpp.jid import Jid, prepare_local


class _Words(NamedTuple):
    title: str
    name: str
    now: str
    change: str
    new: str
    again: str
    save: str
    remove: str
    removal: str
    sure: str
    gone: str
    changed: str
    removed: str
    #: By condition of a stanza error; "" for all others.
    wrong: dict[str, str]


_ENGLISH: Final = _Words(
    "Your account on {domain}",
    "Username",
    "Current password",
    "Change the password",
    "New password",
    "New password again",
    "Change password",
    "Remove the account",
    "Your messages, contacts and files on this server are deleted. This cannot be undone.",
    "Yes, delete everything",
    "Remove account",
    "Your password is changed. Apps that you use have to be told the new one.",
    "Your account is removed.",
    {
        "not-authorized": "The username or the password is wrong.",
        "not-acceptable": "This password cannot be used: choose a longer one.",
        "not-allowed": "Accounts of this domain are managed elsewhere.",
        "resource-constraint": "Too many attempts. Try again in a few minutes.",
        "different": "The two new passwords differ.",
        "unsure": "Confirm that everything shall be deleted.",
        "": "This did not work. Try again in a minute.",
    },
)
_GERMAN: Final = _Words(
    "Ihr Konto auf {domain}",
    "Benutzername",
    "Jetziges Passwort",
    "Passwort ändern",
    "Neues Passwort",
    "Neues Passwort noch einmal",
    "Passwort ändern",
    "Konto löschen",
    "Ihre Nachrichten, Kontakte und Dateien auf diesem Server werden gelöscht. Das lässt sich nicht rückgängig machen.",
    "Ja, alles löschen",
    "Konto löschen",
    "Ihr Passwort ist geändert. Geben Sie das neue in den Apps ein, die Sie benutzen.",
    "Ihr Konto ist gelöscht.",
    {
        "not-authorized": "Der Benutzername oder das Passwort ist falsch.",
        "not-acceptable": "Dieses Passwort kann nicht benutzt werden: wählen Sie ein längeres.",
        "not-allowed": "Die Konten dieser Domain werden anderswo verwaltet.",
        "resource-constraint": "Zu viele Versuche. Versuchen Sie es in ein paar Minuten wieder.",
        "different": "Die beiden neuen Passwörter sind verschieden.",
        "unsure": "Bestätigen Sie, dass alles gelöscht werden soll.",
        "": "Das hat nicht geklappt. Versuchen Sie es in einer Minute noch einmal.",
    },
)
#: What a condition is as a status of HTTP.
_STATUS: Final = {
    "": 503,
    "not-authorized": 403,
    "not-allowed": 403,
    "resource-constraint": 429,
    "not-acceptable": 422,
    "different": 422,
    "unsure": 422,
}


def read(body: bytes, domain: str, address: str) -> ChangeAccount:
    """What a form asks for. Raises RefusedError."""
    said = fields(body)
    username = filled_username(said)
    local, _, named = username.partition("@")
    try:
        account = Jid(prepare_local(local), domain, None).bare
    except JidError:
        raise RefusedError("not-authorized", username) from None
    password, new = said.get("password", ""), said.get("new", "")
    if not password or named.lower() not in ("", domain):
        raise RefusedError("not-authorized", username)
    if max(len(password), len(new)) > LONGEST:
        raise RefusedError("not-acceptable", username)
    if said.get("what") == "remove":
        if said.get("sure") != "yes":
            raise RefusedError("unsure", username)
        return ChangeAccount(account, password, "", address)
    if not new:
        raise RefusedError("not-acceptable", username)
    if new != said.get("again"):
        raise RefusedError("different", username)
    return ChangeAccount(account, password, new, address)


def page(domain: str, accept_language: str, refused: RefusedError | None = None) -> Response:
    """Both forms, and above them why the last one was not taken."""
    lang = language(accept_language)
    words = _GERMAN if lang == "de" else _ENGLISH
    said, status, name = "", 200, ""
    if refused is not None:
        condition = refused.condition if refused.condition in words.wrong else ""
        said = f'<p class="said wrong" role="alert">{words.wrong[condition]}</p>'
        status, name = _STATUS[condition], escape(refused.username)
    body = (
        f'{said}<section aria-labelledby="c"><h2 id="c">{words.change}</h2><form method="post">'
        f"{_who('c', words, name)}{_field('c', 'new', words.new, 'new-password')}{_field('c', 'again', words.again, 'new-password')}"
        f'<button class="go" name="what" value="change">{words.save}</button></form></section>'
        f'<section aria-labelledby="r"><h2 id="r">{words.remove}</h2><p>{words.removal}</p><form method="post">{_who("r", words, name)}'
        f'<label for="r-sure"><input type="checkbox" id="r-sure" name="sure" value="yes" required>{words.sure}</label>'
        f'<button class="go grave" name="what" value="remove">{words.gone}</button></form></section>'
    )
    return _response(status, lang, words, domain, body)


def done(domain: str, accept_language: str, asked: ChangeAccount) -> Response:
    """It was done."""
    lang = language(accept_language)
    words = _GERMAN if lang == "de" else _ENGLISH
    text = words.changed if asked.new else words.removed
    return _response(200, lang, words, domain, f'<p class="said" role="status">{text}</p>')


def _who(form: str, words: _Words, name: str) -> str:
    return f"{username_field(f'{form}-u', words.name, name)}{_field(form, 'password', words.now, 'current-password')}"


def _field(form: str, name: str, label: str, complete: str) -> str:
    return password_field(f"{form}-{name}", name, label, complete)


def _response(status: int, lang: str, words: _Words, domain: str, body: str) -> Response:
    return answered(status, lang, words.title.format(domain=escape(domain)), body)
