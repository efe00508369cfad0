"""Read a story: the script language of scansion (Prosody's XMPP test runner).

A script has tags (`## key: value`), comments (`#`, `--`), characters (`[Client] Romeo` and indented `key: value` lines), a
line of dashes, and actions: `Romeo sends:` followed by an indented body. What we add to the language, all of it additive:

* verbs `drops` (the connection goes without closing the stream), `is disconnected` (the server ends the stream) and `may
  receive` (what the RFC says that a server SHOULD or MAY send);
* client properties `resource` and `transport` (`starttls`, `tls`, `websocket`, `bosh`, `plain`);
* tags: `## order: any` (receives that follow one another may match in any order), `## skip-prosody: reason`, `## unfiltered`
  (no habit of a target is overlooked, see `targets`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

VERBS = ("connects", "disconnects", "sends", "receives", "may receive", "drops", "is disconnected")
_WITH_BODY = ("sends", "receives", "may receive")
_CHARACTER = re.compile(r"\[(?P<kind>\w+)\]\s+(?P<name>.+?)\s*\Z")
_PROPERTY = re.compile(r"\s+(?P<key>\w+):\s*(?P<value>.*?)\s*\Z")
_RULER = re.compile(r"-{3,}\s*\Z")
_TAG = re.compile(r"##\s*(?P<key>[\w-]+)\s*(?::\s*(?P<value>.*?))?\s*\Z")
_COMMENT = re.compile(r"\s*(#|--(\s|\Z))")


class ScriptError(Exception):
    """The script itself is wrong: file, line and what is wrong there."""


@dataclass(frozen=True, slots=True)
class Step:
    """One action. `body` is the XML (or the word `nothing`), "" for verbs without one."""

    line: int
    actor: str
    verb: str
    body: str = ""


@dataclass(slots=True)
class Story:
    """A parsed script. `title` is its first comment; `characters` maps a name to its properties."""

    path: Path
    title: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    characters: dict[str, dict[str, str]] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)


def read(path: Path) -> Story:
    """Parse the script in `path`. Raises ScriptError."""
    return parse(path.read_text(encoding="utf-8"), path)


def parse(text: str, path: Path = Path("script")) -> Story:
    """Parse a script. Raises ScriptError."""
    story = Story(path)
    lines = list(enumerate(text.splitlines(), 1))
    rest = _definitions(story, lines)
    step: Step | None = None
    body: list[str] = []
    for number, line in [*rest, (0, "end")]:
        if number and step is not None and step.verb in _WITH_BODY and line[:1] in ("\t", " "):
            body.append(line)
            continue
        if number and (not line.strip() or _COMMENT.match(line)):
            continue
        if step is not None:
            story.steps.append(_finished(story, step, body))
        if number:
            step, body = _action(story, number, line)
    return story


def _definitions(story: Story, lines: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """Read tags, title and characters; return the lines after the ruler."""
    current: dict[str, str] | None = None
    for index, (number, line) in enumerate(lines):
        if tag := _TAG.match(line):
            story.tags[tag["key"]] = tag["value"] or ""
        elif line.startswith("#"):
            story.title = story.title or line.lstrip("# ").strip()
        elif _RULER.match(line):
            return lines[index + 1 :]
        elif found := _CHARACTER.match(line):
            current = story.characters[found["name"]] = {"class": found["kind"]}
        elif current is not None and (item := _PROPERTY.match(line)):
            current[item["key"]] = item["value"]
        elif line.strip() and not _COMMENT.match(line):
            raise ScriptError(f"{story.path}:{number}: neither a character nor a property: {line!r}")
    raise ScriptError(f"{story.path}: no line of dashes between characters and actions")


def _action(story: Story, number: int, line: str) -> tuple[Step, list[str]]:
    for name in sorted(story.characters, key=len, reverse=True):
        if not line.startswith(name + " "):
            continue
        head, _, inline = line[len(name) + 1 :].partition(":")
        if head.strip() not in VERBS:
            break
        return Step(number, name, head.strip()), [inline] if inline.strip() else []
    raise ScriptError(f"{story.path}:{number}: not an action of a known character: {line!r}")


def _finished(story: Story, step: Step, body: list[str]) -> Step:
    text = "\n".join(body).strip()
    if (step.verb in _WITH_BODY) != bool(text):
        raise ScriptError(f"{story.path}:{step.line}: {step.actor} {step.verb} what?")
    return Step(step.line, step.actor, step.verb, text)
