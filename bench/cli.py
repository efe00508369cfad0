"""`rookery bench`: load any XMPP server and tell what it cost. Exit codes: 0 done, 1 failed, 2 wrong usage, 3 an SLO was broken."""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Container, Mapping
from functools import partial
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, get_args

import click
from msgspec.structs import fields

from rookery.bench.plan import (
    WINDOW,
    Mechanism,
    Plan,
    PlanError,
    Transport,
    make,
    names,
    profile,
    told_by,
)

#: Commands of other modules: name -> (module, attribute, one line for --help).
ELSEWHERE: Final = {
    "report": ("cli_reports", "report", "Write a result file as HTML, or print it."),
    "compare": ("cli_reports", "compare", "Compare two result files."),
    "ca": ("cli_remotes", "ca", "Make the authority that s2s needs, and say what the server must know."),
    "record": ("cli_recording", "record", "Record what clients send, without names and words."),
    "replay": ("cli_recording", "replay", "Send the messages of a recording again."),
    "peers": ("cli_peers", "peers", "Run the same scenario on Rookery, Prosody and ejabberd, in turn."),
}


class _Group(click.Group):
    """Commands of other modules are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*super().list_commands(ctx), *ELSEWHERE]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in ELSEWHERE:
            return super().get_command(ctx, cmd_name)
        module, attribute, _ = ELSEWHERE[cmd_name]
        command: click.Command = getattr(import_module(f"rookery.bench.{module}"), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        own = [(name, command.get_short_help_str(100)) for name, command in self.commands.items()]
        with formatter.section("Commands"):
            formatter.write_dl([*own, *((name, text) for name, (_, _, text) in ELSEWHERE.items())])


@click.group(cls=_Group)
def bench() -> None:
    """Load-test an XMPP server: any server, by XMPP alone."""


_OPTIONS: Final[tuple[tuple[str, Any, str], ...]] = (
    ("--target", str, "Where the server listens, HOST:PORT."),
    ("--domain", str, "Domain of the users."),
    ("--second-target", str, "Another server, where every second user is: pairs and contacts are of both."),
    ("--second-domain", str, "Domain of its users."),
    (
        "--transport",
        click.Choice(get_args(Transport)),
        "TCP in the clear, with STARTTLS, TLS; a WebSocket without and with TLS; BOSH without.",
    ),
    ("--path", str, "Path of the WebSocket or of BOSH."),
    ("--ca-file", str, "Authority to trust, PEM; loopback targets are not checked without it."),
    ("--mechanism", click.Choice(get_args(Mechanism)), "How to authenticate."),
    ("--users", int, "How many."),
    ("--first-user", int, "Number of the first."),
    ("--user", str, "Pattern of their names, such as user%06d."),
    ("--password", str, "Pattern of their passwords; may be without a number."),
    ("--users-file", str, "CSV with the columns jid and password, instead of patterns."),
    ("--rate", float, "Operations per second of all together (open loop); 0 is a closed loop."),
    ("--arrivals", click.Choice(["even", "poisson"]), "How an open loop's operations are spread."),
    ("--count", int, "Operations of each user or pair; the run is over when all are done."),
    ("--concurrency", int, "Logins at once in a closed loop (login, back, pep)."),
    ("--body", int, "Bytes of a message body."),
    ("--address", click.Choice(["full", "bare"]), "Address messages to full or bare JIDs."),
    ("--contacts", int, "Contacts of each user."),
    ("--nodes", int, "Nodes of each account (pep)."),
    ("--archive", int, "Messages in each archive (mam)."),
    ("--page", int, "Messages of one page (mam)."),
    ("--rooms", int, "Rooms that the users are in (muc); each user is in one."),
    ("--sizes", click.Choice(["even", "zipf"]), "Rooms have as many occupants each, or some have far more."),
    ("--talkers", int, "Occupants of each room who send (muc)."),
    ("--muc", str, "The service of rooms; conference.DOMAIN without it."),
    (
        "--s2s-target",
        str,
        "Where the server takes streams of other servers (s2s); port 5269 of the target's host without it.",
    ),
    ("--remotes", int, "Remote domains that are played (s2s)."),
    ("--remote-domain", str, "Pattern of their names."),
    ("--listen", str, "Where they listen, HOST:PORT; each further driver process one port higher."),
    (
        "--dns",
        str,
        'Where their DNS is, HOST:PORT: the resolver of the server. "": it has static routes to --listen.',
    ),
    (
        "--ca",
        str,
        "Authority of their certificates, which the server trusts; `rookery bench ca FILE` makes one.",
    ),
    (
        "--auth",
        click.Choice(["external", "dialback", "mixed"]),
        "How they and the server prove who they are.",
    ),
    (
        "--ways",
        str,
        "What is done (s2s), with commas between; each user does one: in, out, round, first, subscribe, join, streams.",
    ),
    ("--dead", float, "Share of the remote domains that are dead, 0 to 1."),
    ("--dead-kinds", str, "What they are dead of, in turn; see `rookery bench ca --help`."),
    ("--dead-every", float, "Seconds between messages to each dead domain."),
    ("--flaky", float, "Share of the remote domains that read slowly, or end their streams all the time."),
    ("--spam", float, "Messages per second of strangers at one remote domain, besides."),
    ("--tape", str, "A recording of `rookery bench record` (replay)."),
    ("--speed", float, "How many times as fast as it was recorded (replay)."),
    ("--duration", float, "Seconds of the measured window."),
    ("--warmup", float, "Seconds of load before it."),
    ("--ramp", float, "New connections per second before the load."),
    ("--drain", float, "Seconds to wait for the last answers."),
    ("--timeout", float, "Seconds one operation may take."),
    ("--processes", int, "Driver processes; the two of a pair, and contacts, are of the same process."),
    ("--seed", int, "Of all random choices."),
    ("--ready-file", str, "The server's processes, as `rookery up --ready-file` writes them."),
)


#: Options that say where a server is.
PLACE: Final = (
    "--target",
    "--second-target",
    "--second-domain",
    "--ca-file",
    "--ready-file",
    "--s2s-target",
    "--ca",
)
_ACCOUNTS: Final = (
    "--domain",
    "--second-domain",
    "--second-target",
    "--users",
    "--first-user",
    "--user",
    "--password",
)


def plan_options(
    command: Any,
    but: Container[str] = (),
    only: Container[str] | None = None,
    base: Mapping[str, Any] = MappingProxyType({}),
) -> Any:
    """Give a command the options of a plan: all, those not in `but`, or `only` those; `base` has other defaults."""
    defaults = {**{field.name: field.default for field in fields(Plan)}, **base}
    for name, kind, text in reversed(_OPTIONS):
        if name in but or (only is not None and name not in only):
            continue
        default = defaults[name[2:].replace("-", "_")]
        known = f"  [default: {default}]" if default not in ("", 0) else ""
        command = click.option(name, type=kind, default=None, help=f"{text}{known}")(command)
    return command


def search_option(command: Any) -> Any:
    """Give a command `--search`."""
    text = "Look for the highest rate that keeps RULE, such as chat.p99<100ms, by short runs; --rate is where that begins."
    return click.option("--search", multiple=True, metavar="RULE", help=text)(command)


@bench.command(
    "run",
    epilog="Options go before the profile, the profile before defaults; see `rookery bench scenarios`. "
    "Rules are about OPERATION.p50, p90, p99, p99_9, max, mean, rate, count or errors; errors, sent, delivered, lost, duplicated, "
    "reordered, refused, connections; server.cpu_us, cpu_s, pss_kib or pss_kib_per_connection; driver.cpu_us, busiest or late_p99. "
    "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 a rule was broken, 130 interrupted.",
)
@click.argument("scenario", required=False)
@click.option(
    "--profile",
    "profile_name",
    metavar="NAME|FILE",
    help=f"Begin with a profile: {', '.join(names()) or 'a TOML file'}.",
)
@plan_options
@click.option("--closed-loop", is_flag=True, help="The end of an operation begins the next (rate 0).")
@click.option("--register", is_flag=True, default=None, help="Register the users first (XEP-0077).")
@click.option("--storm", is_flag=True, default=None, help="All begin at once (login, resume).")
@click.option(
    "--s2s-acks/--no-s2s-acks",
    default=None,
    help="Remote domains acknowledge (XEP-0198), or answer pings only.",
)
@click.option(
    "--ca-out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Make an authority for this run, and write it there for the server (s2s).",
)
@click.option(
    "--server-pids", metavar="PID,...", help="The server's processes, to measure their CPU and memory."
)
@click.option(
    "--slo",
    multiple=True,
    metavar="RULE",
    help="Such as chat.p99<50ms or lost==0; exit code 3 when broken; may be repeated.",
)
@search_option
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Write the result there."
)
@click.option(
    "--html", "html_file", type=click.Path(path_type=Path, dir_okay=False), help="Write a report there."
)
@click.option("--quiet", is_flag=True, help="No live view.")
@click.option(
    "--i-may-load-this-server", "allowed", is_flag=True, help="Needed for targets that are not this machine."
)
def run_command(scenario: str | None, profile_name: str | None, **options: Any) -> None:
    """Run SCENARIO (or that of the profile) once."""
    outputs = {name: options.pop(name) for name in ("json_file", "html_file", "quiet", "allowed")}
    writable(outputs["json_file"], outputs["html_file"], ca_out := options.pop("ca_out"))
    if ca_out is not None:
        from rookery.bench.remotes.authority import Authority

        Authority.make().write(ca_out)
        options["ca"] = str(ca_out)
    plan = _plan(scenario, profile_name, options)
    if not plan.loopback and not outputs["allowed"]:
        raise click.UsageError(
            f"{plan.foreign} is not this machine: --i-may-load-this-server says that you may load it"
        )
    from rookery.bench.run import run_and_show

    code = run_and_show(plan, outputs["json_file"], outputs["html_file"], quiet=outputs["quiet"])
    click.get_current_context().exit(code)


def _plan(scenario: str | None, profile_name: str | None, options: dict[str, Any]) -> Plan:
    given = {name: value for name, value in options.items() if value is not None}
    if given.pop("closed_loop"):
        if given.get("rate"):
            raise click.UsageError("--closed-loop has no --rate: choose one")
        given["rate"] = 0.0
    if "server_pids" in given:
        given["server_pids"] = _pids(given["server_pids"])
    if scenario is not None:
        given["scenario"] = scenario
    try:
        return layered(profile(profile_name) if profile_name else {}, {}, given)
    except PlanError as error:
        raise click.UsageError(str(error)) from None


def layered(
    base: Mapping[str, Any], quick: Mapping[str, Any], given: Mapping[str, Any], *, measured: bool = False
) -> Plan:
    """The checked plan: options that were given go before `quick` and the short steps of a search, those before `base`.

    `measured`: the server's processes are known, whatever the plan says. Raises PlanError.
    """
    from rookery.bench.scenarios import find
    from rookery.bench.slo import SloError, parse, possible

    options = {name: value for name, value in given.items() if value != ()}
    if "scenario" not in {**base, **options}:
        raise PlanError("name a scenario or a profile: `rookery bench scenarios` lists them")
    searches = options.get("search") or base.get("search")
    plan = make(base, WINDOW if searches else {}, quick, options)
    find(plan.scenario).check(plan)
    try:
        for text in (*plan.slo, *plan.search):
            possible(parse(text), plan, server=measured or bool(plan.server_pids or plan.ready_file))
    except SloError as error:
        raise PlanError(str(error)) from None
    return plan


def _pids(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise click.UsageError(f"--server-pids {text!r}: write process ids with commas between") from None


def writable(*files: Path | None) -> None:
    """Refuse files that could not be written once the run is over. Raises click.UsageError."""
    for file in files:
        if file is None:
            continue
        folder = file.parent
        if not folder.is_dir():
            raise click.UsageError(f"cannot write {file}: there is no folder {folder}")
        if file.is_dir() or not os.access(file if file.exists() else folder, os.W_OK):
            raise click.UsageError(f"cannot write {file}: choose another file")


@bench.command("users")
@partial(plan_options, only=_ACCOUNTS)
def users_command(**options: Any) -> None:
    """Write the users of a run as CSV (jid, password), for the import of a server."""
    from rookery.bench.users import accounts

    try:
        plan = make(
            {"scenario": "chat"}, {name: value for name, value in options.items() if value is not None}
        )
    except PlanError as error:
        raise click.UsageError(str(error)) from None
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(("jid", "password"))
    writer.writerows((account.bare, account.password) for account in accounts(plan))


@bench.command("scenarios")
def scenarios_command() -> None:
    """List scenarios and profiles."""
    from rookery.bench.scenarios import scenarios

    for name, kind in scenarios().items():
        click.echo(f"  {name:10} {kind.summary}")
    click.echo("profiles:")
    for name in names():
        click.echo(f"  {name:15} {told_by(name)}")
