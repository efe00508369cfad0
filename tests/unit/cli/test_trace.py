"""What `rookery trace` takes for an ID."""

from __future__ import annotations

import click
import pytest

from rookery.cli.trace import trace


@pytest.mark.parametrize(
    ("arguments", "id_", "as_json", "user"),
    [
        (["abc"], "abc", False, None),
        (["-PIzdMEmW9XOxzwRvh4YuA", "--json"], "-PIzdMEmW9XOxzwRvh4YuA", True, None),
        (["--user", "a@b.example", "-h-1"], "-h-1", False, "a@b.example"),
        (["--json", "--", "--dashes"], "--dashes", True, None),
    ],
)
def test_an_id_may_begin_with_a_dash(arguments: list[str], id_: str, as_json: bool, user: str | None) -> None:
    params = trace.make_context("trace", arguments).params
    assert (params["id_"], params["as_json"], params["user"]) == (id_, as_json, user)


def test_what_is_too_much_is_refused() -> None:
    for arguments in ([], ["-a", "-b"]):
        with pytest.raises(click.UsageError):
            trace.make_context("trace", arguments)
