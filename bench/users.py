"""Who logs in: accounts by pattern or from a CSV file."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from pathlib import Path

from rookery.bench.plan import Plan, PlanError
from rookery.shared.xmpp.errors import JidError
from rookery.shared.xmpp.jid import Jid


@dataclass(frozen=True, slots=True)
class Account:
    """One user; `index` is its number in the run, from 0."""

    index: int
    localpart: str
    domain: str
    password: str = field(repr=False)

    @property
    def bare(self) -> str:
        """The bare JID."""
        return f"{self.localpart}@{self.domain}"


def accounts(plan: Plan) -> list[Account]:
    """All accounts of a plan, as many as it has users; with a second server every second one is there. Raises PlanError."""
    if plan.users_file:
        return _from_file(plan)
    made = []
    for index in range(plan.users):
        number = plan.first_user + index
        password = plan.password % number if "%" in plan.password else plan.password
        domain = plan.second_domain if plan.second_domain and index % 2 else plan.domain
        made.append(Account(index, plan.user % number, domain, password))
    return made


def _from_file(plan: Plan) -> list[Account]:
    path = Path(plan.users_file)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, strict=True))
    except OSError as error:
        raise PlanError(f"users_file {path}: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise PlanError(f"users_file {path}: {error}") from None
    made = []
    for index, row in enumerate(rows[: plan.users]):
        name, password = row.get("jid") or row.get("username"), row.get("password")
        if not name or not password:
            raise PlanError(f"users_file {path}, row {index + 2}: needs jid (or username) and password")
        try:
            jid = Jid.parse(name if "@" in name else f"{name}@{plan.domain}")
        except JidError as error:
            raise PlanError(f"users_file {path}, row {index + 2}: {error}") from None
        made.append(Account(index, jid.local or "", jid.domain, password))
    if len(made) < plan.users:
        raise PlanError(f"users_file {path} has {len(made)} users, the plan wants {plan.users}")
    return made


def share(total: int, processes: int, number: int) -> range:
    """The users of one driver process: whole pairs (2n, 2n+1), as even as they go."""
    pairs = total // 2
    first, last = pairs * number // processes, pairs * (number + 1) // processes
    return range(2 * first, total if number == processes - 1 else 2 * last)
