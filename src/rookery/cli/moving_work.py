"""The work of `rookery import` and `rookery export`: batches, keys on all cores, progress, what could not be carried."""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any, Final

import click
import msgspec
import trio

from rookery.cli import CommandError
from rookery.cli.audit import audit
from rookery.cli.domain_change import LATE
from rookery.cli.notify import notify
from rookery.cli.options import run
from rookery.moving import dump, load, personal, pie_out
from rookery.moving.records import Left, Person, Record, Room
from rookery.shared.bus.kinds import ACCOUNTS, ROOMS
from rookery.shared.config import Config
from rookery.shared.db.api import Database
from rookery.shared.db.bridge import open_database
from rookery.shared.xmpp.jid import Jid
from rookery.workers.account import store
from rookery.workers.account.credentials import derive

#: People in one transaction, and messages after which it has no more.
_PEOPLE: Final = 250
_MESSAGES: Final = 5000
#: Seconds of one statement, and between lines of progress.
_STATEMENT: Final = 60.0
_TELL: Final = 5.0
_PAGE: Final = 50
_NAMED: Final = 3
Batch = list[Person] | list[Room]


class _Import:
    """Counts what comes in and what does not."""

    def __init__(self, config: Config, report: IO[str] | None) -> None:
        self.config = config
        self.report = report
        self.made: Counter[str] = Counter()
        self.seen: Counter[str] = Counter()
        self.there = 0
        self.left: dict[str, list[Any]] = {}
        self.started = self._told = time.monotonic()

    def leave(self, left: Left) -> None:
        known = self.left.setdefault(left.what, [0])
        known[0] += 1
        if len(known) <= _NAMED:
            known.append(left.who)
        if self.report is not None:
            self.report.write(json.dumps(left._asdict(), ensure_ascii=False) + "\n")

    def tell(self) -> None:
        """A line of progress now and then."""
        now = time.monotonic()
        if now - self._told >= _TELL:
            self._told = now
            click.echo(f"{sum(self.made.values())} imported, {self.there} were there already", err=True)

    def batches(self, records: Iterator[Record]) -> Iterator[Batch]:
        """People and rooms of one domain together, in the order of the source."""
        batch: list[Any] = []
        key: tuple[type, str] | None = None
        messages = 0
        for record in records:
            if isinstance(record, Left):
                self.leave(record)
                continue
            mine = (
                type(record),
                record.domain if isinstance(record, Person) else Jid.trusted(record.jid).domain,
            )
            if batch and (mine != key or len(batch) == _PEOPLE or messages > _MESSAGES):
                yield batch
                batch, messages = [], 0
            key = mine
            batch.append(record)
            messages += len(record.messages)
            self.seen["rooms" if isinstance(record, Room) else "users"] += 1
        if batch:
            yield batch

    def summary(self) -> None:
        took = time.monotonic() - self.started
        made = (
            ", ".join(f"{count} {what}" for what, count in sorted(self.made.items(), reverse=True) if count)
            or "nothing"
        )
        there = f"; {self.there} were there already and stay as they are" if self.there else ""
        click.echo(f"imported {made} in {took:.1f} s{there}")
        self.summary_left()

    def summary_left(self) -> None:
        if self.left:
            click.echo("not carried:")
        for what, (count, *who) in sorted(self.left.items()):
            more = ", ..." if count > len(who) else ""
            click.echo(f"  {count:>7} {what}: {', '.join(who)}{more}")


def bring(
    records: Iterator[Record], config: Config, what: str, *, dry_run: bool, report: Path | None
) -> None:
    """Import records. Raises CommandError, MovingError."""
    try:
        file = open(report, "w", encoding="utf-8") if report is not None else None  # noqa: SIM115  closed below
    except OSError as error:
        raise CommandError(f"cannot write {report}: {error.strerror}") from None
    state = _Import(config, file)
    try:
        run(_dry if dry_run else _bring, records, state, what)
    except BaseExceptionGroup as group:
        raise _inner(group) from None
    finally:
        if file is not None:
            file.close()


def _inner(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _database(config: Config) -> Any:
    return open_database(msgspec.structs.replace(config.database, statement_timeout=_STATEMENT))


async def _hosted(db: Database) -> dict[str, str]:
    return {one.name: one.kind for one in await db.run(0, store.domains)}


def _missing(batch: Batch, hosted: dict[str, str]) -> str:
    """What has to be done before this batch can come in, "" for nothing."""
    first = batch[0]
    domain, kind = (
        (first.domain, ACCOUNTS) if isinstance(first, Person) else (Jid.trusted(first.jid).domain, ROOMS)
    )
    if hosted.get(domain) == kind:
        return ""
    more = "" if kind == ACCOUNTS else f" --kind {kind}"
    return f"{domain} is not hosted here: `rookery domain add {domain}{more}` first, then repeat the import"


async def _dry(records: Iterator[Record], state: _Import, _what: str) -> None:
    async with _database(state.config) as db:
        hosted = await _hosted(db)
    missing: dict[str, None] = {}
    for batch in state.batches(records):
        if wrong := _missing(batch, hosted):
            missing[wrong] = None
    click.echo(f"{state.seen['users']} users and {state.seen['rooms']} rooms; nothing was written")
    state.summary_left()
    if missing:
        raise CommandError("\n".join(missing))


async def _bring(records: Iterator[Record], state: _Import, what: str) -> None:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limiter, room = trio.CapacityLimiter(cores), trio.Semaphore(cores + 1)
    domains: Counter[str] = Counter()
    batches = state.batches(records)
    async with _database(state.config) as db:
        hosted = await _hosted(db)

        async def one(batch: Batch) -> None:
            try:
                await _batch(db, batch, state, domains, limiter)
            finally:
                room.release()

        async with trio.open_nursery() as nursery:
            while (batch := await trio.to_thread.run_sync(next, batches, None)) is not None:
                if wrong := _missing(batch, hosted):
                    raise CommandError(wrong)
                await room.acquire()
                nursery.start_soon(one, batch)
        posts = [audit(f"import {what}", domain, users=count) for domain, count in domains.items()]
        if not await notify(state.config.bus, db, posts):
            click.echo(LATE, err=True)
    state.summary()


async def _batch(
    db: Database, batch: Batch, state: _Import, domains: Counter[str], limiter: trio.CapacityLimiter
) -> None:
    rooms = [one for one in batch if isinstance(one, Room)]
    if rooms:
        done = await load.put(db, rooms)
        state.made["rooms"] += len(done.made)
    else:
        found = [one for one in batch if isinstance(one, Person)]
        people = await trio.to_thread.run_sync(_with_keys, found, state.config, limiter=limiter)
        done = await load.put_people(db, people)
        state.made["users"] += len(done.made)
        domains[people[0].domain] += len(done.made)
    state.there += done.there
    state.tell()


def _with_keys(people: Sequence[Person], config: Config) -> list[Person]:
    account = config.account
    return [
        one._replace(keys=tuple(derive(one.password, account.mechanisms, account.iterations)), password="")
        if one.password
        else one
        for one in people
    ]


def take(file: Path, domain: str | None, config: Config) -> None:
    """Export to a file, which appears when it is whole."""
    if str(file) == "-":
        run(_take, sys.stdout.buffer, domain, config)
        return
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            run(_take, out, domain, config)
            out.flush()
            os.fsync(out.fileno())
        draft.replace(file)
    except OSError as error:
        raise CommandError(f"cannot write {file}: {error.strerror or error}") from None
    finally:
        draft.unlink(missing_ok=True)


async def _take(out: IO[bytes], domain: str | None, config: Config) -> None:
    counts: Counter[str] = Counter()
    async with _database(config) as db:
        out.write(pie_out.HEAD)
        for name, kind in sorted((await _hosted(db)).items(), key=lambda one: (one[1], one[0])):
            if kind not in (ACCOUNTS, ROOMS) or (
                domain is not None and domain not in (name, name.partition(".")[2])
            ):
                continue
            read = dump.people if kind == ACCOUNTS else dump.rooms
            after, opened = "", False
            while page := await db.run(0, partial(_page, read, name, after)):
                if not opened:
                    out.write(pie_out.host(name))
                    opened = True
                for record in page:
                    out.writelines(pie_out.record(record))
                counts[kind] += len(page)
                last = page[-1]
                after = last.local if isinstance(last, Person) else last.jid
            if opened:
                out.write(pie_out.HOST_END)
        out.write(pie_out.TAIL)
    click.echo(f"exported {counts[ACCOUNTS]} users and {counts[ROOMS]} rooms", err=True)


def print_person(local: str, domain: str, form: str, config: Config) -> bool:
    """Print all that is stored of an account; False when there is none."""

    async def main() -> bool:
        async with _database(config) as db:
            found = await db.run(0, lambda conn: dump.person(conn, local, domain))
            if found is None:
                return False
            if form == "xml":
                sys.stdout.buffer.writelines(
                    [
                        pie_out.HEAD,
                        pie_out.host(domain),
                        *pie_out.record(found),
                        pie_out.HOST_END,
                        pie_out.TAIL,
                    ]
                )
                return True
            elsewhere = await db.run(0, lambda conn: personal.elsewhere(conn, local, domain))
            click.echo(json.dumps(personal.told(found) | elsewhere, ensure_ascii=False, indent=1))
            return True

    return run(main)


async def _page(read: Any, name: str, after: str, conn: Any) -> list[Any]:
    return list(await read(conn, name, after, _PAGE))
