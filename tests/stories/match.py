"""Does a received stanza match the one in the script? The rules of scansion.

Lenient: every attribute, child and text of the expected element must be in the received one; others are ignored, and so is the
order. Strict: nothing else may be there, and children come in the same order. Elements of the stream's own namespace are lenient,
all others strict, unless `scansion:strict='true'|'false'` says otherwise for that element and what is in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape

from tests.stories.elements import CLIENT, split

_CAPTURE = re.compile(r"\{scansion:capture:(\w+)\}\Z")
_VARIABLE = re.compile(r"\$\{([^}]+)\}")


def substitute(text: str, values: Mapping[str, str]) -> str:
    """Replace `${name}` in an XML text by escaped values. Raises KeyError for an unknown name."""
    return _VARIABLE.sub(lambda found: escape(values[found[1]], {'"': "&quot;", "'": "&apos;"}), text)


def difference(expected: Element, got: Element, captures: MutableMapping[str, str]) -> str | None:
    """None when `got` matches, else what differs; captured values are stored only when all of it matches."""
    found: dict[str, str] = {}
    reason = _compare(expected, got, found, None)
    if reason is None:
        captures.update(found)
    return reason


def _compare(expected: Element, got: Element, found: dict[str, str], inherited: bool | None) -> str | None:
    here = split(expected.tag)[1]
    if expected.tag != got.tag:
        return f"expected <{expected.tag}>, got <{got.tag}>"
    wanted = {k: v for k, v in expected.attrib.items() if "scansion" not in split(k)[0]}
    flag = next(
        (v for k, v in expected.attrib.items() if "scansion" in split(k)[0] and k.endswith("}strict")), None
    )
    explicit = inherited if flag is None else flag in ("true", "yes", "1")
    strict = split(expected.tag)[0] != CLIENT if explicit is None else explicit
    for name, value in wanted.items():
        actual = got.get(name)
        if actual is None:
            return f"<{here}> has no attribute {name}"
        if not _value(value, actual, found):
            return f"<{here}> has {name}={actual!r}, expected {value!r}"
    if strict and (extra := sorted(set(got.attrib) - set(wanted))):
        return f"<{here}> has more attributes: {', '.join(extra)}"
    text = (expected.text or "").strip()
    if (text or strict) and not _value(text, (got.text or "").strip(), found):
        return f"<{here}> has text {(got.text or '').strip()!r}, expected {text!r}"
    return _in_order(expected, got, found, explicit) if strict else _somewhere(expected, got, found, explicit)


def _value(expected: str, actual: str, found: dict[str, str]) -> bool:
    if expected == "{scansion:any}":
        return True
    if capture := _CAPTURE.match(expected):
        found[capture[1]] = actual
        return True
    return expected == actual


def _in_order(expected: Element, got: Element, found: dict[str, str], explicit: bool | None) -> str | None:
    here = split(expected.tag)[1]
    if len(expected) != len(got):
        return f"<{here}> has {len(got)} children, expected {len(expected)}"
    for want, have in zip(expected, got, strict=True):
        if reason := _compare(want, have, found, explicit):
            return f"{here}: {reason}"
    return None


def _somewhere(expected: Element, got: Element, found: dict[str, str], explicit: bool | None) -> str | None:
    here = split(expected.tag)[1]
    left = list(got)
    for want in expected:
        reasons: list[str] = []
        for have in left:
            trial: dict[str, str] = {}
            reason = _compare(want, have, trial, explicit)
            if reason is None:
                found.update(trial)
                left.remove(have)
                break
            if have.tag == want.tag:
                reasons.append(reason)
        else:
            return f"{here}: " + (reasons[0] if reasons else f"no <{want.tag}>")
    return None
