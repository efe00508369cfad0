"""Verbs about reports of spam and abuse."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

from msgspec import Meta

from rookery.admin import reports
from rookery.admin.desk import Desk
from rookery.admin.verb import Given, Limit, Taken, Verb


class Report(Given, frozen=True, kw_only=True):
    """A report. `stanza_ids` are pairs of who gave the id, and the id; `forward` is what the user agrees to."""

    id: int
    at: datetime
    reporter: str
    reported: str
    reason: str
    text: str
    stanza_ids: list[list[str]]
    forward: list[str]


class ReportList(Given, frozen=True, kw_only=True):
    """Reports, the newest first."""

    items: list[Report]


class OfReports(Taken, frozen=True, kw_only=True):
    """Which reports."""

    about: Annotated[
        str, Meta(description="A reported address, or a domain; empty: all", max_length=3071)
    ] = ""
    limit: Limit = 100


class OfReport(Taken, frozen=True, kw_only=True):
    """A report."""

    id: Annotated[int, Meta(description="Its number", ge=1)]


def shown(one: reports.Row) -> Report:
    """A report as it is answered."""
    return Report(
        id=one.id,
        at=one.at,
        reporter=one.reporter,
        reported=one.reported,
        reason=one.reason,
        text=one.text,
        stanza_ids=[list(pair) for pair in one.stanza_ids],
        forward=list(one.forward),
    )


async def _list(desk: Desk, taken: OfReports) -> ReportList:
    return ReportList(items=[shown(one) for one in await reports.listed(desk, taken.about, taken.limit)])


async def _drop(desk: Desk, taken: OfReport) -> None:
    await reports.drop(desk, taken.id)


VERBS: Final = (
    Verb(
        "reports.list",
        "users",
        "GET",
        "/v1/reports",
        OfReports,
        ReportList,
        _list,
        "List reports of spam and abuse",
    ),
    Verb(
        "reports.remove",
        "users",
        "DELETE",
        "/v1/reports/{id}",
        OfReport,
        None,
        _drop,
        "Remove a report",
        errors=(404,),
    ),
)
