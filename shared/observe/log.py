"""Structured logs, on standard error or where `log.to` says: JSON lines, or readable ones on a terminal.

Every line has `ts`, `level`, `event` (snake_case) and, after `configure`, `kind` and `incarnation` of the process. What users wrote
can neither flood a line (1 KiB a field), nor forge one or steer a terminal (control and formatting characters are
escaped); what looks like a secret is masked. Bodies of stanzas and passwords are not to be logged at all.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections import deque
from collections.abc import Callable, Mapping, MutableMapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

import msgspec
import structlog

from rookery.shared.observe.sinks import Logger, Sink, Stderr, sink

FIELD_BYTES: Final = 1024
#: Characters that cannot be more bytes than that.
_SHORT: Final = FIELD_BYTES // 4
TRACE_CHARS: Final = 16_384
MASK: Final = "********"
_SECRET: Final = re.compile(
    r"pass(word|wd)|secret|token|credential|authorization|_key\Z|\Aseed", re.IGNORECASE
)
#: user:password or a bare token before the @ of a URL
_URL_SECRET: Final = re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^/@\s]+@", re.IGNORECASE)

_LEVELS: Final = ("debug", "info", "warning", "error", "critical")

Fields = MutableMapping[str, Any]
#: `json.dumps` makes an encoder for each line when it is not given the usual arguments.
_encode: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def clean(text: str, limit: int = FIELD_BYTES) -> str:
    """`text` as it may stand in a log: no secrets in URLs, no control or formatting characters, at most `limit` bytes."""
    if "://" in text:
        text = _URL_SECRET.sub(rf"\1{MASK}@", text)
    if len(text) * 4 > limit and len(text.encode("utf-8", "replace")) > limit:
        text = text.encode("utf-8", "replace")[: limit - 3].decode("utf-8", "ignore") + "…"
    if not text.isprintable():
        text = "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in text)
    return text


@lru_cache(maxsize=1024)
def _is_secret(field: str) -> bool:
    """Whether the name of a field says that it holds a secret. The names stand in our code, so they are few."""
    return _SECRET.search(field) is not None


def _bounded(_logger: object, _method: str, fields: Fields) -> Fields:
    for name, value in fields.items():
        if _is_secret(name):
            fields[name] = MASK
        elif type(value) is str and len(value) <= _SHORT and value.isprintable() and "://" not in value:
            continue  # as nearly all are
        elif name == "exception":
            # Formatted by us, line by line; the message of an exception may have anything in it.
            text = str(value)[-TRACE_CHARS:]
            fields[name] = "\n".join(clean(line) for line in text.split("\n"))
        elif isinstance(value, str):
            fields[name] = clean(value)
        elif isinstance(value, bytes):
            fields[name] = value[: FIELD_BYTES // 2].hex()
        elif value is not None and not isinstance(value, bool | int | float):
            fields[name] = clean(str(value))
    return fields


#: The last lines of this process, for an operator who asks for them: as they were written, the oldest first.
TAIL: Final[deque[dict[str, Any]]] = deque(maxlen=500)


def _remembered(_logger: object, _method: str, fields: Fields) -> Fields:
    TAIL.append(dict(fields))
    return fields


def tail(at_least: str = "debug", text: str = "", limit: int = 200) -> list[dict[str, Any]]:
    """The newest lines of this level and above that have a text somewhere, the oldest first."""
    least = _LEVELS.index(at_least)
    found: list[dict[str, Any]] = []
    for fields in reversed(TAIL):
        written = str(fields.get("level", "info"))
        if (_LEVELS.index(written) if written in _LEVELS else 1) < least:
            continue
        if text and not any(text in str(value) for value in fields.values()):
            continue
        found.append(fields)
        if len(found) >= limit:
            break
    return found[::-1]


def _json(_logger: object, _method: str, fields: Fields) -> str:
    return _encode(fields)


def _constants(**constants: str) -> Callable[[object, str, Fields], Fields]:
    def add(_logger: object, _method: str, fields: Fields) -> Fields:
        for name, value in constants.items():
            fields.setdefault(name, value)
        return fields

    return add


class _Quick:
    """Writes what the processors of JSON lines would, in a third of the time; off until `configure` says what they are."""

    def __init__(self) -> None:
        self.level = logging.CRITICAL + 1
        self.constants: Mapping[str, str] = {}

    def __call__(self, event: str, fields: dict[str, Any]) -> bool:
        """Write a line of level info; whether it was, or is not wanted. Fields must not be those that `configure` adds."""
        if self.level > logging.CRITICAL:
            return False
        if self.level > logging.INFO:
            return True
        fields["event"] = event
        fields.update(self.constants)
        fields["level"] = "info"
        fields["ts"] = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        TAIL.append(dict(_bounded(None, "info", fields)))
        _sink[0].write(msgspec.json.encode(fields).decode(), "info")
        return True


quick: Final = _Quick()
#: Where lines go.
_sink: Final[list[Sink]] = [Stderr()]


def reopen() -> None:
    """After a log file was moved away."""
    _sink[0].reopen()


class _Stdlib(logging.Handler):
    """Libraries that use `logging` (asyncio, asyncpg) end in the same lines."""

    def emit(self, record: logging.LogRecord) -> None:
        """Hand one record on."""
        log = structlog.get_logger()
        log.log(
            record.levelno,
            "library_log",
            logger=record.name,
            message=record.getMessage(),
            exc_info=record.exc_info,
        )


def level(name: str) -> None:
    """Write lines of this level and above from now on."""
    number = getattr(logging, name.upper())
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(number))
    logging.getLogger().setLevel(max(number, logging.WARNING))
    if quick.level <= logging.CRITICAL:
        quick.level = number


def configure(
    *, level: str = "info", form: str = "auto", kind: str = "", incarnation: str = "", to: str = "stderr"
) -> None:
    """Set up this process's logs once. `form` is auto, json or console; `to` is a setting. Raises OSError for a file that cannot be opened."""
    _sink[0] = sink(to)
    terminal = to == "stderr" and sys.stderr.isatty()
    console = form == "console" or (form == "auto" and terminal)
    names = {"kind": kind, "incarnation": incarnation}
    processors: list[Any] = [
        structlog.contextvars.merge_contextvars,
        _constants(**{name: value for name, value in names.items() if value}),
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso" if not console else "%H:%M:%S", utc=not console, key="ts"),
        structlog.processors.format_exc_info,
        _bounded,
        _remembered,
    ]
    if console:
        processors.append(
            structlog.dev.ConsoleRenderer(
                colors=terminal,
                timestamp_key="ts",
                exception_formatter=structlog.dev.plain_traceback,
            )
        )
    else:
        processors.append(_json)
    number = getattr(logging, level.upper())
    quick.level = logging.CRITICAL + 1 if console else number
    quick.constants = {name: value for name, value in names.items() if value}
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=lambda *_: Logger(lambda: _sink[0]),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers[:] = [_Stdlib()]
    root.setLevel(max(number, logging.WARNING))
