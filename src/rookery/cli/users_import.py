"""Bulk import of users: CSV in, SCRAM keys out, on every core.

PBKDF2 is all of the cost: with 10 000 iterations about 1.2 ms of CPU for each mechanism (OpenSSL 4 in `cryptography` needs half of what the
interpreter's own OpenSSL 3 does, and lets other threads run meanwhile). So every user first gets the keys of the first mechanism and can log
in; those of the others, which older clients need, come after that. Each account keeps its own iteration count, so imported ones
get the configured count when their password is next changed.
"""

from __future__ import annotations

import base64
import binascii
import csv
import hashlib
import hmac
import os
import secrets
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import partial
from typing import Any, BinaryIO, Final

import click
import trio
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

from rookery.cli import CommandError
from rookery.cli.audit import audit
from rookery.cli.domain_change import LATE
from rookery.cli.notify import notify
from rookery.cli.options import run
from rookery.shared.bus.kinds import ACCOUNTS
from rookery.shared.config import Config
from rookery.shared.db.api import Connection, Database
from rookery.shared.db.bridge import open_database
from rookery.shared.xmpp.jid import Jid, prepare_domain, prepare_local
from rookery.shared.xmpp.sasl.common import prepare_password
from rookery.workers.account import store
from rookery.workers.account.credentials import SALT_BYTES, Keys
from rookery.workers.account.mail import mail_address

_HASHES: Final = {"SCRAM-SHA-256": (hashes.SHA256, "sha256", 32), "SCRAM-SHA-1": (hashes.SHA1, "sha1", 20)}
_KEY_COLUMNS: Final = ("mechanism", "iterations", "salt", "stored_key", "server_key")
_COLUMNS: Final = frozenset({"jid", "username", "domain", "password", "email", *_KEY_COLUMNS})
#: Mechanisms of other servers that may be told; anything else may be a password in the wrong column.
_OTHERS: Final = frozenset(
    {"PLAIN", "SCRAM-SHA-512", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS", "DIGEST-MD5", "CRAM-MD5"}
)
#: Users in one statement.
_BATCH: Final = 500
#: Mistakes that are printed; the rest is counted.
_TOLD: Final = 10
_LONGEST_FIELD: Final = 8192


@dataclass(slots=True)
class Row:
    """One user of the file: a prepared password, or ready keys."""

    localpart: str
    domain: str
    email: str
    password: str = field(default="", repr=False)
    keys: list[Keys] = field(default_factory=list, repr=False)


#: Rows of one domain with their keys; and a row that was made, with its first stored key.
Batch = list[tuple[Row, list[Keys]]]
Made = tuple[Row, bytes]


def lines(file: BinaryIO) -> Iterator[str]:
    """The lines of a file in UTF-8, with or without a byte order mark. Raises CommandError that names the line."""
    for number, line in enumerate(file, 1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise CommandError(
                f"line {number}: not UTF-8 (byte {error.object[error.start]:#04x}): "
                "convert the file first, such as with `iconv -f latin1 -t utf-8`"
            ) from None


def read(file: Iterable[str], domain: str | None = None) -> list[Row]:
    """All users of the lines of a CSV file. Raises CommandError that tells the first mistakes by line."""
    reader = csv.DictReader(file, strict=True)
    csv.field_size_limit(_LONGEST_FIELD)
    found: dict[tuple[str, str], Row] = {}
    mistakes: list[str] = []
    try:
        names = [name.strip().lower() for name in reader.fieldnames or ()]
        _check_columns(names, domain)
        reader.fieldnames = names
        default = prepare_domain(domain) if domain else ""
        for fields in reader:
            try:
                _take(fields, default, found)
            except ValueError as error:
                mistakes.append(f"line {reader.line_num}: {error}")
    except csv.Error as error:
        raise CommandError(f"line {reader.line_num}: not CSV: {error}") from None
    if mistakes:
        more = [f"and {len(mistakes) - _TOLD} more mistakes"] if len(mistakes) > _TOLD else []
        raise CommandError("\n".join([*mistakes[:_TOLD], *more, "nothing was imported"]))
    return list(found.values())


def _check_columns(names: Sequence[str], domain: str | None) -> None:
    """Raise CommandError unless the first line names columns. Never with what stands there: it may be a user with a password."""
    columns = frozenset(names)
    if names and not columns & _COLUMNS:
        raise CommandError(
            "line 1 names no column: put a header there, such as jid,password (users begin in line 2)"
        )
    unknown = [number for number, name in enumerate(names, 1) if name not in _COLUMNS]
    if unknown:
        near = get_close_matches(names[unknown[0] - 1], sorted(_COLUMNS), 1)
        raise CommandError(
            f"line 1: column {unknown[0]} is not known{f', did you mean {near[0]}' if near else ''}: "
            f"there are {', '.join(sorted(_COLUMNS))}"
        )
    if "jid" not in columns and not ("username" in columns and ("domain" in columns or domain)):
        raise CommandError(
            "the first line must name the column jid, or username with domain (or give --domain)"
        )
    if "password" not in columns and not columns.issuperset(_KEY_COLUMNS):
        raise CommandError(f"the first line must name the column password, or {', '.join(_KEY_COLUMNS)}")


def _take(fields: dict[str, str | None], domain: str, found: dict[tuple[str, str], Row]) -> None:
    if None in fields or None in fields.values():
        raise ValueError("not as many fields as the first line has columns")
    values = {name: value or "" for name, value in fields.items()}
    if values.get("jid"):
        jid = Jid.parse(values["jid"])
        if jid.local is None or jid.resource is not None:
            raise ValueError(f"{values['jid']!r} is not a user: write it as alice@example.org")
        localpart, domain = jid.local, jid.domain
    else:
        localpart = prepare_local(values.get("username", ""))
        domain = prepare_domain(values["domain"]) if values.get("domain") else domain
    known = found.get((domain, localpart))
    if values.get("password"):
        if known is not None:
            raise ValueError(f"{localpart}@{domain} is there twice")
        email = mail_address(values.get("email", ""))
        found[domain, localpart] = Row(localpart, domain, email, prepare_password(values["password"]))
        return
    if not values.get("mechanism"):
        raise ValueError(f"{localpart}@{domain} has no password")
    keys = _ready_keys(values)
    if known is None:
        known = found[domain, localpart] = Row(localpart, domain, mail_address(values.get("email", "")))
    if known.password or any(have.mechanism == keys.mechanism for have in known.keys):
        raise ValueError(f"{localpart}@{domain} is there twice")
    known.keys.append(keys)


def _ready_keys(values: dict[str, str]) -> Keys:
    mechanism = values["mechanism"].upper()
    if mechanism not in _HASHES:
        told = f"mechanism {mechanism!r}" if mechanism in _OTHERS else "the mechanism"
        raise ValueError(f"{told} is not known: use {' or '.join(_HASHES)}")
    size = _HASHES[mechanism][2]
    count = values["iterations"]
    if not (count.isascii() and count.isdigit() and 1 <= len(count) <= 7 and int(count) >= 1):
        raise ValueError("iterations must be a number")
    try:
        salt, stored, server = (base64.b64decode(values[name], validate=True) for name in _KEY_COLUMNS[2:])
    except (binascii.Error, ValueError):
        raise ValueError("salt, stored_key and server_key must be base64") from None
    if not 1 <= len(salt) <= 1024 or len(stored) != size or len(server) != size:
        raise ValueError(f"keys of {mechanism} have {size} bytes, and there must be a salt")
    return Keys(mechanism, int(count), salt, stored, server)


def derive(password: str, mechanism: str, salt: bytes, iterations: int) -> Keys:
    """SCRAM keys of a prepared password (RFC 5802 section 3)."""
    algorithm, name, size = _HASHES[mechanism]
    salted = PBKDF2HMAC(algorithm(), size, salt, iterations).derive(password.encode())
    client_key = hmac.digest(salted, b"Client Key", name)
    stored = hashlib.new(name, client_key).digest()
    return Keys(mechanism, iterations, salt, stored, hmac.digest(salted, b"Server Key", name))


def load(rows: Sequence[Row], config: Config, mechanisms: Sequence[str], iterations: int) -> None:
    """Write the users; prints progress and what was done. Raises CommandError for a domain that is not hosted."""
    run(_load, rows, config, tuple(mechanisms), iterations)


def check(rows: Sequence[Row], config: Config) -> None:
    """What `load` would refuse. Raises CommandError."""

    async def main() -> None:
        async with open_database(config.database) as db:
            await _check_hosted(rows, db)

    run(main)


async def _check_hosted(rows: Sequence[Row], db: Database) -> None:
    hosted = {one.name for one in await db.run(0, store.domains) if one.kind == ACCOUNTS}
    strange = sorted({row.domain for row in rows} - hosted)
    if strange:
        raise CommandError(
            f"{', '.join(strange[:5])} is not hosted here: `rookery domain add {strange[0]}` first"
        )


async def _load(rows: Sequence[Row], config: Config, mechanisms: Sequence[str], iterations: int) -> None:
    started = time.monotonic()
    async with open_database(config.database) as db:
        await _check_hosted(rows, db)
        made: list[Made] = []

        async def create(batch: Batch) -> None:
            made.extend(await db.run(0, partial(_create, batch)))

        with _progress(len(rows), "importing") as bar:
            await _derived(rows, mechanisms[0], iterations, create, bar)
        await _tell(config, db, [row for row, _ in made])
        there = len(rows) - len(made)
        click.echo(
            f"imported {len(made)} users in {time.monotonic() - started:.1f} s"
            + (f", {there} were there already and stay as they are" if there else "")
        )
        first = {(row.domain, row.localpart): stored for row, stored in made if row.password}
        late = [row for row, _ in made if row.password]

        async def add(batch: Batch) -> None:
            await db.run(0, partial(_add_keys, batch, first, mechanisms[0]))

        for mechanism in mechanisms[1:] if late else ():
            with _progress(len(late), f"{mechanism} keys") as bar:
                await _derived(late, mechanism, iterations, add, bar)
            click.echo(f"added {mechanism} keys for older clients, {time.monotonic() - started:.1f} s in all")


async def _tell(config: Config, db: Database, made: Sequence[Row]) -> None:
    """One line in the log for each domain: ten thousand would say no more."""
    counts = Counter(row.domain for row in made)
    if not await notify(
        config.bus, db, [audit("user import", domain, users=count) for domain, count in counts.items()]
    ):
        click.echo(LATE, err=True)


def _progress(length: int, label: str) -> Any:
    return click.progressbar(
        length=length, label=label, show_pos=True, update_min_steps=_BATCH, file=sys.stderr
    )


async def _create(batch: Batch, conn: Connection) -> list[Made]:
    """Make the accounts of a batch; returns the rows that are new, each with the first stored key."""
    accounts = [(row.localpart, row.email, keys) for row, keys in batch]
    new = await store.create_accounts(conn, batch[0][0].domain, accounts)
    return [(row, keys[0].stored_key) for row, keys in batch if row.localpart in new]


# Not for an account whose password was changed since: then its first key is another one.
_ADD: Final = """
INSERT INTO credential (account_id, mechanism, iterations, salt, stored_key, server_key)
SELECT a.id, k.m, k.i, k.s, k.sk, k.vk
FROM unnest($3::text[], $4::bytea[], $5::text[], $6::int[], $7::bytea[], $8::bytea[], $9::bytea[]) AS k (l, first, m, i, s, sk, vk)
JOIN account a ON a.domain = $1 AND a.localpart = k.l
JOIN credential c ON c.account_id = a.id AND c.mechanism = $2 AND c.stored_key = k.first
ON CONFLICT (account_id, mechanism) DO NOTHING"""


async def _add_keys(
    batch: Batch, first: Mapping[tuple[str, str], bytes], mechanism: str, conn: Connection
) -> None:
    domain = batch[0][0].domain
    columns = [list(column) for column in zip(*(keys[0] for _, keys in batch), strict=True)]
    names = [row.localpart for row, _ in batch]
    await conn.execute(_ADD, domain, mechanism, names, [first[domain, name] for name in names], *columns)


async def _derived(
    rows: Sequence[Row],
    mechanism: str,
    iterations: int,
    store_batch: Callable[[Batch], Awaitable[None]],
    bar: Any,
) -> None:
    """Make the keys of all rows on every core this process may use; `store_batch` gets them in batches of one domain."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limiter, room = trio.CapacityLimiter(cores), trio.Semaphore(2 * cores)

    def work(batch: list[Row]) -> Batch:
        return [(row, row.keys or [_fresh(row.password, mechanism, iterations)]) for row in batch]

    async def one(batch: list[Row]) -> None:
        await store_batch(await trio.to_thread.run_sync(work, batch, limiter=limiter))
        room.release()
        bar.update(len(batch))

    async with trio.open_nursery() as nursery:
        for batch in batches(rows):
            await room.acquire()
            nursery.start_soon(one, batch)


def _fresh(password: str, mechanism: str, iterations: int) -> Keys:
    return derive(password, mechanism, secrets.token_bytes(SALT_BYTES), iterations)


def batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Rows by domain, at most `_BATCH` together."""
    waiting: dict[str, list[Row]] = {}
    for row in rows:
        batch = waiting.setdefault(row.domain, [])
        batch.append(row)
        if len(batch) == _BATCH:
            yield waiting.pop(row.domain)
    yield from waiting.values()
