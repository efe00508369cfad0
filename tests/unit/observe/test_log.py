"""Log lines: fields, and that hostile text can neither forge, flood nor reveal."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from rookery.shared.observe import log


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    handlers, level = logging.getLogger().handlers[:], logging.getLogger().level
    quick = log.quick.level
    yield
    log.quick.level = quick
    structlog.reset_defaults()
    logging.getLogger().handlers[:] = handlers
    logging.getLogger().setLevel(level)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_json_line_has_the_fields(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure(form="json", kind="edge", incarnation="e1")
    with structlog.contextvars.bound_contextvars(stream_id="s1"):
        structlog.get_logger().info("session_bound", jid="a@x", count=3, ok=True, nothing=None)
    (line,) = lines(capsys)
    assert str(line.pop("ts")).endswith("Z")
    assert line == {
        "event": "session_bound",
        "level": "info",
        "kind": "edge",
        "incarnation": "e1",
        "stream_id": "s1",
        "jid": "a@x",
        "count": 3,
        "ok": True,
        "nothing": None,
    }


def test_level_filters(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure(form="json", level="warning")
    structlog.get_logger().info("quiet")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("field", ["password", "new_passwd", "token", "server_key", "authorization", "seed"])
def test_secrets_are_masked(capsys: pytest.CaptureFixture[str], field: str) -> None:
    log.configure(form="json")
    structlog.get_logger().info("x", **{field: "hunter2"})
    assert lines(capsys)[0][field] == log.MASK


@pytest.mark.parametrize(
    "text", ["postgresql://u:hunter2@h/db", "cannot reach nats://hunter2@h:1", "NATS://a:hunter2@[::1]:4"]
)
def test_secrets_in_urls_are_masked(text: str) -> None:
    assert "hunter2" not in log.clean(text)
    assert log.MASK in log.clean(text)


def test_an_exception_keeps_its_trace_but_not_its_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure(form="json")
    try:
        raise RuntimeError("nats://hunter2@h\x1b[2J")
    except RuntimeError:
        structlog.get_logger().exception("failed")
    (line,) = lines(capsys)
    assert "test_log.py" in str(line["exception"])
    assert "hunter2" not in str(line["exception"])
    assert "\x1b" not in str(line["exception"])


@given(st.text(max_size=3000))
def test_any_text_is_one_bounded_printable_line(text: str) -> None:
    cleaned = log.clean(text)
    assert cleaned.isprintable()
    assert len(cleaned) <= 6 * log.FIELD_BYTES
    if text.isprintable() and "://" not in text:
        assert (
            cleaned.encode()[: log.FIELD_BYTES - 8]
            == text.encode()[: log.FIELD_BYTES - 8][: len(cleaned.encode())]
        )


def test_library_logs_join(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure(form="json")
    logging.getLogger("asyncio").error("went %s", "wrong")
    (line,) = lines(capsys)
    assert (line["event"], line["message"], line["level"]) == ("library_log", "went wrong", "error")


def test_console_has_no_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure(form="console")
    structlog.get_logger().warning("odd", jid="a\nb\x1b[31m\u202ec")
    assert capsys.readouterr().err.strip("\n").isprintable()


def test_lines_of_clients_are_those_that_the_processors_would_write(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log.configure(form="json", kind="edge", incarnation="e1")
    fields: dict[str, object] = {
        "account": "a@x\x1b[2J\n",
        "token": "hunter2",
        "address": "x" * 3000,
        "url": "nats://user:pass@host",
        "count": 3,
        "secure": True,
        "nothing": None,
        "raw": b"\xff",
        "jid": "ä@x",
    }
    assert log.quick("client_login", dict(fields))
    structlog.get_logger().info("client_login", **fields)
    one, other = lines(capsys)
    assert str(one.pop("ts")).endswith("Z")
    other.pop("ts")
    assert one == other
    kept = log.tail("info")[-2:]
    assert [{**line, "ts": ""} for line in kept] == [{**one, "ts": ""}] * 2


def test_they_keep_to_the_level_and_leave_other_forms_to_others(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure(form="json", level="warning")
    assert log.quick("x", {})
    log.level("info")
    assert log.quick("y", {})
    assert [line["event"] for line in lines(capsys)] == ["y"]
    log.configure(form="console")
    assert not log.quick("z", {})
    assert capsys.readouterr().err == ""
