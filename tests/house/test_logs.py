"""`docs/logs.md` against the code: every event that is logged, with its fields, and none that is not."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from functools import cache
from pathlib import Path

from tests.house.sources import nodes, parsed

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/logs.md"
_ROW = re.compile(r"^\| `(\w+)` \|([^|]*)\| [^|]+ \|$", re.MULTILINE)
FOLDERS = ("edge", "router", "workers", "shared", "src/rookery")
LEVELS = {"debug", "info", "warning", "error", "critical", "exception"}
#: Names under which modules have a logger, or what writes lines about clients.
LOGGERS = {"_log", "log", "client_log"}
#: Words that structlog takes for itself.
OWN = {"exc_info"}
#: Fields that say what a line must never say.
FORBIDDEN = re.compile(r"body|password|passwd|secret|content|stanza\Z|xml")


@cache
def logged() -> dict[str, set[str]]:
    """Event -> the fields that some line of it has; events and fields that are computed stand in the page alone."""
    found: dict[str, set[str]] = defaultdict(set)
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*.py"):
            if any(parent.is_symlink() for parent in path.parents):
                continue
            for node in nodes(parsed(path.read_text("utf-8"))):
                if isinstance(node, ast.Call) and (events := events_of(node)):
                    for event in events:
                        found[event] |= {word.arg for word in node.keywords if word.arg} - OWN
    return found


def events_of(call: ast.Call) -> list[str]:
    """The events that a call logs; empty for what is no log line."""
    function, arguments = call.func, call.args
    if not isinstance(function, ast.Attribute):
        return []
    of = function.value
    name = of.id if isinstance(of, ast.Name) else of.attr if isinstance(of, ast.Attribute) else ""
    if function.attr == "log" and name in LOGGERS:
        arguments = arguments[1:]
    elif not (
        (function.attr in LEVELS and (name in LOGGERS or "get_logger" in ast.unparse(of)))
        or (function.attr == "warn" and arguments)
        or (function.attr in ("log", "client_log") and len(arguments) == 1)
    ):
        return []
    return [
        one.value
        for one in ast.walk(arguments[0])
        if isinstance(one, ast.Constant) and isinstance(one.value, str)
    ]


@cache
def told() -> dict[str, set[str]]:
    rows = _ROW.findall(PAGE.read_text("utf-8"))
    assert len(rows) == len({name for name, _ in rows}), "an event stands there twice"
    return {name: set(re.findall(r"`(\w+)`", fields)) for name, fields in rows}


def test_every_event_that_is_logged_stands_in_the_page() -> None:
    assert sorted(logged().keys() - told().keys()) == [], "write a row for it in docs/logs.md"


def test_every_event_of_the_page_is_logged() -> None:
    texts = [path.read_text("utf-8") for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    for event in told().keys() - logged().keys():
        assert any(f'"{event}"' in text for text in texts), f"nobody logs {event}"


def test_the_page_has_every_field_of_every_event() -> None:
    page = told()
    missing = {
        event: sorted(fields - page[event]) for event, fields in logged().items() if fields - page[event]
    }
    assert missing == {}, "name these fields in docs/logs.md"


def test_no_line_has_a_field_for_what_people_wrote_or_for_a_password() -> None:
    for event, fields in told().items():
        assert not [field for field in fields if FORBIDDEN.search(field)], event
