"""Puzzles for people who make accounts (XEP-0158): what a domain asks, made without keeping anything, and taken once.

The id of a puzzle says when it ends and which question it is; the rest follows from it and a secret that all workers share. So any worker
checks what any other has asked. An account that was made with a puzzle uses it up.
"""

from __future__ import annotations

import hmac
import json
import secrets
import struct
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from rookery.shared.db.api import Connection
from rookery.shared.db.secrets import secrets_of
from rookery.shared.xeps import captcha
from rookery.shared.xeps.captcha import Answer, Puzzle
from rookery.shared.xmpp.errors import StanzaError

PURPOSE: Final = "captcha"
#: How a domain asks: one question of its own, work that a client does, or either of them.
KINDS: Final = ("question", "work", "any")
#: Bits of work: a second or so of a telephone; and the fewest and most that a domain may want.
BITS, FEWEST, MOST = 20, 8, 32
MOST_QUESTIONS: Final = 100
#: How long a puzzle may take.
SECONDS: Final = 900
_HEAD: Final = struct.Struct(">IH10s")
_MAC: Final = 16
_POLICY: Final = "SELECT policy -> 'captcha' FROM domain WHERE name = $1 AND kind = 'accounts'"
_USE: Final = """
WITH old AS (DELETE FROM captcha_used WHERE expires < now())
INSERT INTO captcha_used (id, expires) VALUES ($1, now() + make_interval(secs => $2)) ON CONFLICT DO NOTHING RETURNING true"""


class Captcha(NamedTuple):
    """What a domain asks. `questions` are with all answers that are right."""

    kind: str
    questions: Sequence[tuple[str, Sequence[str]]] = ()
    bits: int = BITS


def settings(kind: str, questions: Sequence[str] = (), bits: int = BITS) -> dict[str, Any]:
    """The setting of a domain, {} for "off"; `questions` are as QUESTION=ANSWER|ANSWER. Raises ValueError: one line that says what does not go together."""
    found = [_question(text) for text in questions]
    if kind == "off":
        if found:
            raise ValueError("a domain that asks nothing has no questions: leave them out")
        return {}
    if kind not in KINDS:
        raise ValueError(f"{kind!r} is none of off, {', '.join(KINDS)}")
    if kind == "work" and found:
        raise ValueError("work has no questions: say any for either of the two, or leave the questions out")
    if kind != "work" and not found:
        raise ValueError(f"{kind} needs at least one question, as 'Which colour has the sky?=blue|azure'")
    if kind == "question" and bits != BITS:
        raise ValueError("a question has no bits: say work or any, or leave them out")
    if not FEWEST <= bits <= MOST:
        raise ValueError(f"work has {FEWEST} to {MOST} bits")
    if len(found) > MOST_QUESTIONS:
        raise ValueError(f"a domain has at most {MOST_QUESTIONS} questions")
    return {
        "kind": kind,
        **({"questions": found} if found else {}),
        **({"bits": bits} if bits != BITS else {}),
    }


def _question(text: str) -> list[Any]:
    question, _, answers = (part.strip() for part in text.rpartition("="))
    right = [one.strip() for one in answers.split("|") if captcha.plain(one)]
    if not question or not right or len(text) > captcha.LONGEST or not text.isprintable():
        raise ValueError(f"{text[:80]!r} is no QUESTION=ANSWER|ANSWER")
    return [question, right]


def described(setting: Mapping[str, Any]) -> str:
    """For people."""
    if not setting:
        return ""
    count = len(setting.get("questions", ()))
    parts = [f"{count} question{'s' * (count != 1)}"] if count else []
    if setting["kind"] != "question":
        parts.append(f"work of {setting.get('bits', BITS)} bits")
    return " or ".join(parts)


def stored(setting: object) -> Captcha | None:
    """What a row says, None for nothing; what cannot be read asks for more work than anybody does."""
    if isinstance(setting, str):
        setting = json.loads(setting)
    if not setting:
        return None
    try:
        assert isinstance(setting, Mapping)
        questions = tuple((str(one), tuple(map(str, right))) for one, right in setting.get("questions", ()))
        return Captcha(str(setting["kind"]), questions, int(setting.get("bits", BITS)))
    except (AssertionError, KeyError, TypeError, ValueError):
        return Captcha("work", bits=160)


async def asked_by(conn: Connection, domain: str) -> Captcha | None:
    """What the domain asks now."""
    return stored(await conn.fetchval(_POLICY, domain))


# --- puzzles ----------------------------------------------------------------------------------------------------------


def make(secret: bytes, domain: str, asks: Captcha, now: float, rest: bytes) -> Puzzle:
    """A fresh puzzle; `rest` are 10 random bytes."""
    index = int.from_bytes(rest[:2], "big") % len(asks.questions) if asks.questions else 0
    return _puzzle(secret, domain, asks, _HEAD.pack(int(now) + SECONDS, index, rest))


def _puzzle(secret: bytes, domain: str, asks: Captcha, head: bytes) -> Puzzle:
    index = _HEAD.unpack(head)[1]
    question = asks.questions[index][0] if asks.kind != "work" and index < len(asks.questions) else ""
    said = f"{domain}\0{question}\0{asks.kind}\0{asks.bits}\0".encode() + head
    mac = hmac.digest(secret, b"id\0" + said, "sha256")[:_MAC]
    label = ""
    if asks.kind != "question":
        number = int.from_bytes(hmac.digest(secret, b"work\0" + said, "sha256"), "big")
        top = 1 << (asks.bits - 1)
        label = f"{top | number & (top - 1):x}"
    return Puzzle(urlsafe_b64encode(head + mac).decode().rstrip("="), question, label)


def judge(keys: Sequence[bytes], domain: str, asks: Captcha, answer: Answer, now: float) -> str:
    """Why an answer is not taken, "" when it is."""
    try:
        raw = urlsafe_b64decode(answer.id + "=" * (-len(answer.id) % 4))
        until, index, _ = _HEAD.unpack(raw[: _HEAD.size])
    except (ValueError, struct.error):
        return "ask for the form, and answer what it asks"
    for secret in keys:
        puzzle = _puzzle(secret, domain, asks, raw[: _HEAD.size])
        if hmac.compare_digest(puzzle.id.encode(), answer.id.encode("ascii", "replace")):
            break
    else:
        return "ask for the form again: its question is another one now"
    if now > until:
        return "that took too long: ask for the form again"
    if puzzle.question and answer.said and captcha.is_one_of(answer.said, asks.questions[index][1]):
        return ""
    if puzzle.label and answer.work and captcha.is_done(answer.work, puzzle.label, domain):
        return ""
    return "the answer is not right" if answer.said or answer.work else "the question was not answered"


async def puzzle(conn: Connection, domain: str, now: float) -> Puzzle:
    """What somebody is asked now; a puzzle without an id where the domain asks nothing."""
    asks = await asked_by(conn, domain)
    if asks is None:
        return Puzzle("")
    return make((await secrets_of(conn, PURPOSE))[0], domain, asks, now, secrets.token_bytes(10))


async def passed(conn: Connection, domain: str, setting: object, answer: Sequence[str]) -> bool:
    """Whether somebody has answered; False where the domain's setting asks nothing. Raises StanzaError(not-acceptable) for what is no answer (section 4.3)."""
    asks = stored(setting)
    if asks is None:
        return False
    if problem := judge(await secrets_of(conn, PURPOSE), domain, asks, Answer(*answer), time.time()):
        raise _refused(problem)
    return True


def _refused(problem: str) -> StanzaError:
    return StanzaError("not-acceptable", problem, type="cancel", app=captcha.REFUSED)


async def use(conn: Connection, answer: Sequence[str]) -> None:
    """The account is made: nobody makes another one with this answer. Raises StanzaError(not-acceptable) when somebody has."""
    if not await conn.fetchval(_USE, Answer(*answer).id, float(SECONDS)):
        raise _refused("this was answered already: ask for the form again")
