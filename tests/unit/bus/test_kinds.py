"""The table of kinds, and what is read from it."""

from __future__ import annotations

from importlib import import_module

import pytest
from click.testing import CliRunner

from rookery import wiring
from rookery.cli import CommandError
from rookery.cli.domains import domain
from rookery.cli.processes import worker
from rookery.shared.bus.kinds import (
    KINDS,
    Kind,
    Notice,
    accepting,
    built,
    domain_kinds,
    labelled,
    told,
    workers,
)
from rookery.shared.bus.messages import AccountChanged, ContactRemoved
from rookery.shared.bus.notices import account_changed
from rookery.shared.cluster.fake import FakeCluster
from rookery.shared.config import Config
from rookery.up.plan import Plan


def test_every_kind_has_a_row_and_numbers_have_no_gaps() -> None:
    assert list(KINDS) == list(Kind)
    assert [int(kind) for kind in Kind] == list(range(len(Kind)))
    assert len(domain_kinds()) == sum(bool(row.serves) for row in KINDS.values()), "one kind serves a domain"


@pytest.mark.parametrize("row", list(built()), ids=lambda row: row.kind.label)
def test_services_are_there_and_say_their_kind(row: object) -> None:
    module, _, name = row.service.partition(":")  # type: ignore[attr-defined]
    assert getattr(import_module(module), name).kind is row.kind  # type: ignore[attr-defined]
    assert row.help  # type: ignore[attr-defined]


def test_labels() -> None:
    assert labelled("router") is Kind.ROUTER
    with pytest.raises(ValueError, match="'nothing'"):
        labelled("nothing")


def test_what_is_read_from_the_table_today() -> None:
    assert workers() == [
        "roster", "presence", "offline", "account", "muc", "s2s", "pubsub", "component", "upload", "proxy",
    ]  # fmt: skip
    assert accepting() == {
        Kind.ROSTER,
        Kind.PRESENCE,
        Kind.OFFLINE,
        Kind.ACCOUNT,
        Kind.MUC,
        Kind.S2S,
        Kind.PUBSUB,
        Kind.COMPONENT,
        Kind.UPLOAD,
        Kind.PROXY,
    }
    assert {row.kind for row in built() if row.needed} == {Kind.ROUTER, Kind.ACCOUNT}
    assert told(Notice.ACCOUNT_CHANGED) == [Kind.ROUTER, Kind.ROSTER, Kind.PRESENCE, Kind.PUBSUB]
    assert told(Notice.CONTACT_REMOVED) == [Kind.ROSTER]


def test_notices_go_to_whom_the_table_names() -> None:
    changed = AccountChanged("a@x", "removed")
    assert list(account_changed("a@x", "removed", ["b@x"])) == [
        (Kind.ROUTER, "a@x", changed),
        (Kind.ROSTER, "a@x", changed),
        (Kind.PRESENCE, "a@x", changed),
        (Kind.PUBSUB, "a@x", changed),
        (Kind.ROSTER, "b@x", ContactRemoved("b@x", "a@x")),
    ]


def test_up_runs_the_workers_of_the_table() -> None:
    assert Plan(Config(), None).children()[-1] == (
        "worker-1",
        ("roster", "presence", "offline", "account", "muc", "s2s", "pubsub", "component", "upload", "proxy"),
    )


@pytest.fixture
def unbuilt(monkeypatch: pytest.MonkeyPatch) -> None:
    """A version that knows the number of components, and has no such process."""
    monkeypatch.setitem(KINDS, Kind.COMPONENT, KINDS[Kind.COMPONENT]._replace(service=""))


@pytest.mark.usefixtures("unbuilt")
def test_a_kind_that_is_not_built_cannot_be_made() -> None:
    node = FakeCluster().node("x", Kind.COMPONENT)
    with pytest.raises(ValueError, match="no component"):
        wiring.make(Kind.COMPONENT, node)  # type: ignore[arg-type]


def test_the_help_of_worker_lists_kinds_with_their_lines() -> None:
    text = CliRunner().invoke(worker, ["--help"]).output
    for label in workers():
        assert f"{label}  " in text
        assert KINDS[labelled(label)].help in text


@pytest.mark.parametrize("name", ["edge", "router", "nothing"])
def test_worker_refuses_what_is_no_worker(name: str) -> None:
    done = CliRunner().invoke(worker, [name])
    assert done.exit_code == 2
    assert "choose from roster, presence" in done.output


@pytest.mark.usefixtures("unbuilt")
def test_worker_refuses_what_is_not_built() -> None:
    done = CliRunner().invoke(worker, ["component"])
    assert isinstance(done.exception, CommandError)
    assert "no component worker" in str(done.exception)


@pytest.mark.usefixtures("unbuilt")
def test_a_domain_of_a_kind_that_is_not_built_is_refused_in_one_line() -> None:
    done = CliRunner().invoke(domain, ["add", "files.example", "--kind", "component"])
    assert isinstance(done.exception, CommandError)
    assert (
        str(done.exception)
        == "this version has no component: it hosts domains of the kinds accounts, rooms, pubsub, upload, proxy"
    )
