"""XEP-0158: CAPTCHA Forms."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from rookery.shared.xeps import data_forms
from rookery.shared.xeps._xep import Xep
from rookery.shared.xeps.data_forms import Field
from rookery.shared.xmpp.xml import Element

NS: Final = "urn:xmpp:captcha"
#: Fields of the form (section 4.1 and section 6).
CHALLENGE, QUESTION, WORK = "challenge", "qa", "SHA-256"
#: What says of an error that the answer was none, besides `not-acceptable`.
REFUSED: Final = (NS, "captcha")
#: Characters of an answer.
LONGEST: Final = 1023
#: What people read who see the field of work, which is for their clients.
_DESC: Final = "For apps that calculate the answer. Leave it empty if yours does not."
XEP = Xep(
    158,
    "1.0.1",
    "partial",
    implemented_in="edge, workers.account",
    note="In forms of registration alone, by a question or by work (SHA-256), as a domain says; messages of strangers and rooms are never challenged.",
)


class Puzzle(NamedTuple):
    """What somebody without an account is asked: one of a question and of work, or both to choose from; "" for none. `id` comes back with the answer."""

    id: str
    question: str = ""
    label: str = ""


class Answer(NamedTuple):
    """What came back: the id, and what was said to the question and as work."""

    id: str = ""
    said: str = ""
    work: str = ""


def fields(puzzle: Puzzle, domain: str, stanza: str) -> list[Field]:
    """The fields of a puzzle in a form that answers the request `stanza` to `domain` (section 4.1)."""
    out = [Field("from", (domain,), "hidden"), Field(CHALLENGE, (puzzle.id,), "hidden")]
    if stanza:
        out.append(Field("sid", (stanza,), "hidden"))
    # Where both stand there one answer is enough, so neither is required.
    alone = not (puzzle.question and puzzle.label)
    if puzzle.question:
        out.append(Field(QUESTION, (), "text-single", puzzle.question, required=alone))
    if puzzle.label:
        out.append(Field(WORK, (), "text-single", puzzle.label, required=alone, desc=_DESC))
    return out


def answer(values: Mapping[str, Sequence[str]]) -> Answer:
    """What a submitted form says."""
    return Answer(*(" ".join(values.get(name, ()))[:LONGEST] for name in (CHALLENGE, QUESTION, WORK)))


def register_form(form_type: str, puzzle: Sequence[Field], instructions: str) -> Element:
    """The form of a registration with a puzzle (section 5.1); it stands in the query itself."""
    return data_forms.form(
        "form",
        form_type,
        (
            *puzzle,
            Field("username", (), "text-single", "Username", required=True),
            Field("password", (), "text-private", "Password", required=True),
            Field("email", (), "text-single", "Email address"),
        ),
        instructions=instructions,
    )


def plain(text: str) -> str:
    """What is compared of an answer: neither case nor signs nor how letters are composed."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    kept = "".join(
        one if one.isalnum() or unicodedata.category(one).startswith("M") else " " for one in folded
    )
    return " ".join(kept.split())


def is_one_of(said: str, answers: Iterable[str]) -> bool:
    """Whether a question was answered."""
    text = plain(said)
    return bool(text) and any(text == plain(one) for one in answers)


def is_done(work: str, label: str, target: str) -> bool:
    """Whether work is done: it begins with whom the first stanza was sent to, and its hash ends in the bits of `label` (section 6.1)."""
    wanted = int(label, 16)
    if not work.startswith(target) or len(work) > LONGEST:
        return False
    found = int.from_bytes(hashlib.sha256(work.encode("utf-8", "replace")).digest(), "big")
    return found & ((1 << wanted.bit_length()) - 1) == wanted
