"""The page where people make an account, in German and English, without scripts. An invitation comes with its token in the address."""

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
from rookery.shared.bus.messages import Register
from rookery.shared.observe.exchange import Response
from rookery.shared.xeps.captcha import Puzzle
from rookery.shared.xmpp.errors import JidError
from rookery.shared.xmpp.jid import prepare_local


class _Words(NamedTuple):
    title: str
    name: str
    password: str
    again: str
    email: str
    make: str
    made: str
    question: str
    #: By condition of a stanza error; "" for all others.
    wrong: dict[str, str]


_ENGLISH: Final = _Words(
    "A new account on {domain}",
    "Username",
    "Password",
    "Password again",
    "Email address (optional)",
    "Make the account",
    "Your account is made. Your address is {jid}: log in with it in a chat app.",
    "So that machines make no accounts:",
    {
        "not-allowed": "No account can be made here with this: ask for an invitation.",
        "waits": "Your account was requested. Somebody has to approve of it before you can log in.",
        "conflict": "This username is taken: choose another one.",
        "jid-malformed": "This username cannot be used: choose letters and digits.",
        "not-acceptable": "This cannot be used: choose another username or a longer password, and look at the email address.",
        "resource-constraint": "Too many new accounts from your network. Try again later.",
        "different": "The two passwords differ.",
        "unanswered": "That is not the answer, or it took too long. Answer the question below.",
        "app": "Accounts are made in a chat app here, which does what this page cannot do.",
        "": "This did not work. Try again in a minute.",
    },
)
_GERMAN: Final = _Words(
    "Ein neues Konto auf {domain}",
    "Benutzername",
    "Passwort",
    "Passwort noch einmal",
    "E-Mail-Adresse (freiwillig)",
    "Konto anlegen",
    "Ihr Konto ist angelegt. Ihre Adresse ist {jid}: melden Sie sich damit in einer Chat-App an.",
    "Damit keine Maschinen Konten anlegen:",
    {
        "not-allowed": "Hiermit kann kein Konto angelegt werden: bitten Sie um eine Einladung.",
        "waits": "Ihr Konto ist beantragt. Jemand muss zustimmen, bevor Sie sich anmelden können.",
        "conflict": "Dieser Benutzername ist vergeben: wählen Sie einen anderen.",
        "jid-malformed": "Dieser Benutzername kann nicht benutzt werden: wählen Sie Buchstaben und Ziffern.",
        "not-acceptable": "Das kann nicht benutzt werden: wählen Sie einen anderen Benutzernamen oder ein längeres Passwort, und prüfen Sie die E-Mail-Adresse.",
        "resource-constraint": "Zu viele neue Konten aus Ihrem Netz. Versuchen Sie es später wieder.",
        "different": "Die beiden Passwörter sind verschieden.",
        "unanswered": "Das ist nicht die Antwort, oder es hat zu lange gedauert. Beantworten Sie die Frage unten.",
        "app": "Konten werden hier in einer Chat-App angelegt, die tut, was diese Seite nicht kann.",
        "": "Das hat nicht geklappt. Versuchen Sie es in einer Minute noch einmal.",
    },
)
#: Where nothing is asked.
NOTHING: Final = Puzzle("")
#: What a condition is as a status of HTTP.
_STATUS: Final = {
    "": 503,
    "not-allowed": 403,
    "waits": 202,
    "conflict": 409,
    "jid-malformed": 422,
    "not-acceptable": 422,
    "resource-constraint": 429,
    "different": 422,
    "unanswered": 422,
    "app": 403,
}


def read(body: bytes, domain: str, address: str) -> Register:
    """The account that a form asks for. Raises RefusedError."""
    said = fields(body)
    username = filled_username(said)
    local, _, named = username.partition("@")
    if named.lower() not in ("", domain):
        raise RefusedError("jid-malformed", username)
    try:
        local = prepare_local(local)
    except JidError:
        raise RefusedError("jid-malformed", username) from None
    password, email, token = said.get("password", ""), said.get("email", "").strip(), said.get("t", "")
    puzzle = said.get("c", ""), said.get("answer", ""), ""
    if not password or max(map(len, (password, email, token, *puzzle))) > LONGEST:
        raise RefusedError("not-acceptable", username)
    if password != said.get("again"):
        raise RefusedError("different", username)
    return Register(domain, local, password, email, address, token, puzzle)


def page(
    domain: str,
    accept_language: str,
    token: str,
    refused: RefusedError | None = None,
    puzzle: Puzzle = NOTHING,
) -> Response:
    """The form with the question of `puzzle`, and above it why the last one was not taken; no form where nothing that could be filled in helps."""
    if puzzle.id and not puzzle.question:
        refused = RefusedError("app")
    lang = language(accept_language)
    words = _GERMAN if lang == "de" else _ENGLISH
    said, status, name = "", 200, ""
    if refused is not None:
        condition = refused.condition if refused.condition in words.wrong else ""
        kind, role = ("said", "status") if condition == "waits" else ("said wrong", "alert")
        said = f'<p class="{kind}" role="{role}">{words.wrong[condition]}</p>'
        status, name = _STATUS[condition], escape(refused.username)
        if condition in ("not-allowed", "waits", "app"):
            return _response(status, lang, words, domain, said)
    hidden = f'<input type="hidden" name="t" value="{escape(token)}">' if token else ""
    body = (
        f'{said}<form method="post" action="?">{hidden}'
        f"{username_field('u', words.name, name)}{_password('password', words.password)}{_password('again', words.again)}"
        f'<label for="email">{words.email}</label><input id="email" name="email" type="email" autocomplete="email">'
        f"{_question(words, puzzle)}"
        f'<button class="go">{words.make}</button></form>'
    )
    return _response(status, lang, words, domain, body)


def done(domain: str, accept_language: str, made: Register) -> Response:
    """It was made."""
    lang = language(accept_language)
    words = _GERMAN if lang == "de" else _ENGLISH
    jid = f"<strong>{escape(made.username)}@{escape(domain)}</strong>"
    return _response(
        201, lang, words, domain, f'<p class="said" role="status">{words.made.format(jid=jid)}</p>'
    )


def _question(words: _Words, puzzle: Puzzle) -> str:
    if not puzzle.question:
        return ""
    return (
        f'<input type="hidden" name="c" value="{escape(puzzle.id)}">'
        f'<label for="answer">{words.question} {escape(puzzle.question)}</label>'
        '<input id="answer" name="answer" autocomplete="off" required>'
    )


def _password(name: str, label: str) -> str:
    return password_field(name, name, label, "new-password")


def _response(status: int, lang: str, words: _Words, domain: str, body: str) -> Response:
    return answered(status, lang, words.title.format(domain=escape(domain)), body)
