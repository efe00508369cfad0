"""`rookery bench`: load any XMPP server and tell what it cost. Exit codes: 0 done, 1 failed, 2 wrong usage, 3 an SLO was broken."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final, get_args

import click

from rookery.bench.plan import WINDOW, Mechanism, Plan, PlanError, Transport, make, names, profile

#: Commands of other modules: name -> (module, attribute, one line for --help).
ELSEWHERE: Final = {
    "report": ("cli_reports", "report", "Write a result file as HTML, or print it."),
    "compare": ("cli_reports", "compare", "Compare two result files."),
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
    (
        "--transport",
        click.Choice(get_args(Transport)),
        "TCP in the clear, with STARTTLS, TLS, or a WebSocket.",
    ),
    ("--path", str, "Path of the WebSocket."),
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
    ("--concurrency", int, "Logins at once in a closed loop."),
    ("--body", int, "Bytes of a message body."),
    ("--address", click.Choice(["full", "bare"]), "Address messages to full or bare JIDs."),
    ("--contacts", int, "Contacts of each user."),
    ("--archive", int, "Messages in each archive (mam)."),
    ("--page", int, "Messages of one page (mam)."),
    ("--duration", float, "Seconds of the measured window."),
    ("--warmup", float, "Seconds of load before it."),
    ("--ramp", float, "New connections per second before the load."),
    ("--drain", float, "Seconds to wait for the last answers."),
    ("--timeout", float, "Seconds one operation may take."),
    ("--processes", int, "Driver processes; the two of a pair, and contacts, are of the same process."),
    ("--seed", int, "Of all random choices."),
    ("--ready-file", str, "The server's processes, as `rookery up --ready-file` writes them."),
)


def _plan_options(command: Any) -> Any:
    for name, kind, text in reversed(_OPTIONS):
        command = click.option(name, type=kind, default=None, help=text)(command)
    return command


def _search_option(command: Any) -> Any:
    text = "Look for the highest rate that keeps RULE, such as chat.p99<100ms, by short runs; --rate is where that begins."
    return click.option("--search", multiple=True, metavar="RULE", help=text)(command)


@bench.command(
    "run", epilog="Options go before the profile, the profile before defaults; see `rookery bench scenarios`."
)
@click.argument("scenario", required=False)
@click.option(
    "--profile",
    "profile_name",
    metavar="NAME|FILE",
    help=f"Begin with a profile: {', '.join(names()) or 'a TOML file'}.",
)
@_plan_options
@click.option("--closed-loop", is_flag=True, help="The end of an operation begins the next (rate 0).")
@click.option("--register", is_flag=True, default=None, help="Register the users first (XEP-0077).")
@click.option("--storm", is_flag=True, default=None, help="All begin at once (login, resume).")
@click.option(
    "--server-pids", metavar="PID,...", help="The server's processes, to measure their CPU and memory."
)
@click.option(
    "--slo", multiple=True, metavar="RULE", help="Such as chat.p99<50ms or lost==0; exit code 3 when broken."
)
@_search_option
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
    plan = _plan(scenario, profile_name, options)
    if not plan.loopback and not outputs["allowed"]:
        raise click.UsageError(
            f"{plan.host} is not this machine: --i-may-load-this-server says that you may load it"
        )
    from rookery.bench.run import run_and_show

    code = run_and_show(plan, outputs["json_file"], outputs["html_file"], quiet=outputs["quiet"])
    click.get_current_context().exit(code)


def _plan(scenario: str | None, profile_name: str | None, options: dict[str, Any]) -> Plan:
    given = {name: value for name, value in options.items() if value is not None}
    if given.pop("closed_loop"):
        given["rate"] = 0.0
    if "server_pids" in given:
        given["server_pids"] = _pids(given["server_pids"])
    if scenario is not None:
        given["scenario"] = scenario
    try:
        return layered(profile(profile_name) if profile_name else {}, {}, given)
    except PlanError as error:
        raise click.UsageError(str(error)) from None


def layered(base: Mapping[str, Any], quick: Mapping[str, Any], given: Mapping[str, Any]) -> Plan:
    """The checked plan: options that were given go before `quick` and the short steps of a search, those before `base`.

    Raises PlanError.
    """
    from rookery.bench.scenarios import find
    from rookery.bench.slo import SloError, parse

    options = {name: value for name, value in given.items() if value != ()}
    if "scenario" not in {**base, **options}:
        raise PlanError("name a scenario or a profile: `rookery bench scenarios` lists them")
    searches = options.get("search") or base.get("search")
    plan = make(base, WINDOW if searches else {}, quick, options)
    find(plan.scenario).check(plan)
    try:
        for text in (*plan.slo, *plan.search):
            parse(text)
    except SloError as error:
        raise PlanError(str(error)) from None
    return plan


def _pids(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise click.UsageError(f"--server-pids {text!r}: write process ids with commas between") from None


@bench.command("scenarios")
def scenarios_command() -> None:
    """List scenarios and profiles."""
    from rookery.bench.scenarios import LATER, scenarios

    for name, kind in scenarios().items():
        click.echo(f"  {name:10} {kind.summary}")
    for name, text in LATER.items():
        click.echo(f"  {name:10} {text}: not yet")
    click.echo(f"profiles: {', '.join(names())}")
