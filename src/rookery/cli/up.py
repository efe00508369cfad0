"""`rookery up`."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any, Literal

import click
import msgspec

from rookery import __version__, _compiled
from rookery.cli.options import CONFIG_VARIABLE, load
from rookery.shared.cluster.federation import federated
from rookery.shared.config import Config
from rookery.shared.settings import with_servers
from rookery.shared.xeps import socks5_bytestreams, upload
from rookery.shared.xmpp.jid import prepare_domain
from rookery.up.plan import LOOPBACK, Plan, default_data_directory, loopback_only

_PORT = click.IntRange(0, 65_535)
_COUNT = click.IntRange(1, 64)
_CODE = {
    "compiled": "compiled",
    "source": "plain Python (`make compile` makes it faster, where a C compiler is found)",
    "stale": "plain Python, since sources have changed after they were compiled: `make compile`",
}


def _domains(_ctx: click.Context, _param: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    names = []
    for text in value:
        try:
            names.append(prepare_domain(text))
        except ValueError as error:
            raise click.BadParameter(f"{text!r} is not a domain: {error}") from None
    return tuple(dict.fromkeys(names))


@click.command(
    epilog="Ctrl-C or SIGTERM stops everything in order; the data stays. Configuration: a TOML file (--config), "
    "environment (ROOKERY_EDGE__C2S_PORT=5222), options; see `rookery config show`."
)
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where everything is kept.",
    show_default="of this user",
)
@click.option(
    "--ephemeral", is_flag=True, help="Keep everything in a temporary directory and remove it at the end."
)
@click.option(
    "--domain",
    "domains",
    multiple=True,
    callback=_domains,
    metavar="D",
    help="Host this domain; may be repeated.",
)
@click.option(
    "--c2s-port", type=_PORT, help="Clients, STARTTLS; 0: a free one for each edge.  [default: 5222]"
)
@click.option("--c2s-tls-port", type=_PORT, help="Clients, TLS from the first byte.  [default: 5223]")
@click.option("--http-port", type=_PORT, help="WebSocket and host-meta.  [default: 5280]")
@click.option(
    "--s2s-port", type=_PORT, help="Other servers, STARTTLS; naming it turns federation on.  [default: 5269]"
)
@click.option("--s2s-tls-port", type=_PORT, help="Other servers, TLS from the first byte.  [default: 5270]")
@click.option("--admin-port", type=_PORT, help="Health and metrics of all processes.  [default: a free one]")
@click.option(
    "--edges", type=_COUNT, default=1, show_default=True, help="Edge processes; they share fixed ports."
)
@click.option("--routers", type=_COUNT, default=1, show_default=True, help="Router processes.")
@click.option(
    "--workers", type=_COUNT, default=1, show_default=True, help="Processes with one worker of each kind."
)
@click.option("--nats-url", default="", metavar="URL", help="Use this NATS instead of starting one.")
@click.option("--database-url", default="", metavar="URL", help="Use this Postgres instead of starting one.")
@click.option(
    "--registration",
    type=click.Choice(["open", "closed"]),
    help="In-band registration (XEP-0077).  [default: closed]",
)
@click.option(
    "--allow-plaintext", is_flag=True, help="Let clients in without TLS; only works on loopback addresses."
)
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar=CONFIG_VARIABLE,
    help="TOML file.",
)
@click.option(
    "--ready-file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="F",
    help="Write domains, ports and pids there as JSON once all is ready; kept current.",
)
@click.option(
    "--detach",
    is_flag=True,
    help="Go on in the background and return once all is ready; `rookery down` ends it.",
)
def up(data: Path | None, ephemeral: bool, config_file: Path | None, detach: bool, **options: Any) -> None:
    """Run a whole cluster here: NATS, Postgres, edges, routers and workers, as children of this process.

    Edges listen on loopback only unless the configuration names other addresses (edge.host).
    """
    if data is not None and ephemeral:
        raise click.UsageError("--data keeps and --ephemeral removes: give one of them")
    plan = _plan(data, ephemeral, config_file, options)
    if detach:
        if ephemeral:
            raise click.UsageError("--detach needs data that `rookery down` finds: --ephemeral removes it")
        _detach(plan.data or default_data_directory())
        return
    from rookery import wiring
    from rookery.shared.observe import log
    from rookery.up import supervisor

    wiring.preload()
    if _compiled.state == "stale":
        click.echo(
            "rookery: sources have changed since they were compiled, they run uncompiled: make compile",
            err=True,
        )
    log.configure(level=plan.config.log.level, form=plan.config.log.format, kind="up", to=plan.config.log.to)
    supervisor.run(
        plan,
        wiring.run_child,
        lambda line: click.echo(f"rookery {__version__}: {line}"),
        lambda cluster, seconds: _welcome(cluster, plan, seconds),
    )
    click.echo("rookery: stopped")


def _detach(folder: Path) -> None:
    from rookery.up import detached

    given = [one for one in sys.argv[sys.argv.index("up") + 1 :] if one != "--detach"]
    running = detached.start(folder, given)
    where = "" if folder == default_data_directory() else f" --data {folder}"
    click.echo(f"process {running.pid} serves {', '.join(running.domains[:8])}: see {folder / detached.LOG}")
    click.echo(f"end it with: {_command()} down{where}")


def _plan(data: Path | None, ephemeral: bool, config_file: Path | None, options: dict[str, Any]) -> Plan:
    overrides: dict[tuple[str, str], object] = {
        ("edge", name): options[name]
        for name in ("c2s_port", "c2s_tls_port", "http_port")
        if options[name] is not None
    }
    for option, name in (("s2s_port", "port"), ("s2s_tls_port", "tls_port")):
        if options[option] is not None:
            overrides["s2s", name] = options[option]
            overrides["s2s", "enabled"] = "on"
    loaded = load(config_file, overrides)
    config = loaded.config
    if ("edge", "host") not in loaded.sources:
        config = msgspec.structs.replace(config, edge=msgspec.structs.replace(config.edge, host=LOOPBACK))
    files = config.options(upload.Options)
    if ("upload", "host") not in loaded.sources:
        files = msgspec.structs.replace(files, host=config.edge.host)
    if ("upload", "port") not in loaded.sources and not config.edge.http_port:
        files = msgspec.structs.replace(files, port=0)  # who wants a free port for one wants it for the other
    relay = config.options(socks5_bytestreams.Options)
    if ("socks5_bytestreams", "host") not in loaded.sources:
        relay = msgspec.structs.replace(relay, host=config.edge.host)
    if ("socks5_bytestreams", "port") not in loaded.sources and not config.edge.http_port:
        relay = msgspec.structs.replace(relay, port=0)
    config = msgspec.structs.replace(config, upload=files, socks5_bytestreams=relay)
    if ("component", "port") not in loaded.sources and not config.edge.http_port:
        component = msgspec.structs.replace(config.component, port=0)
        config = msgspec.structs.replace(config, component=component)
    if ("cluster", "drain_limit") not in loaded.sources:
        # The drain of a whole cluster has nobody to hand clients to.
        config = msgspec.structs.replace(
            config, cluster=msgspec.structs.replace(config.cluster, drain_limit=5.0)
        )
    if options["allow_plaintext"]:
        config = _with_plaintext(config)
    with_servers(
        config, options["nats_url"], options["database_url"]
    )  # a wrong URL is told before anything is made
    admin_port = options["admin_port"] if options["admin_port"] is not None else config.admin.port
    registration: Literal["open", "closed"] | None = options["registration"]
    return Plan(
        config=config,
        data=None if ephemeral else data or default_data_directory(),
        domains=options["domains"],
        edges=options["edges"],
        routers=options["routers"],
        workers=options["workers"],
        nats_url=options["nats_url"],
        database_url=options["database_url"],
        admin_port=admin_port,
        registration=registration,
        ready_file=options["ready_file"].absolute() if options["ready_file"] else None,
    )


def _with_plaintext(config: Config) -> Config:
    if not loopback_only(config):
        raise click.UsageError(
            f"--allow-plaintext only works on loopback addresses, edge.host has {', '.join(config.edge.host)}"
        )
    return msgspec.structs.replace(config, edge=msgspec.structs.replace(config.edge, allow_plaintext=True))


def _welcome(cluster: Any, plan: Plan, seconds: float) -> None:  # supervisor.Supervisor is imported late
    processes = cluster.processes()
    click.echo(f"ready in {seconds:.1f} s: {len(processes)} processes serve {', '.join(cluster.domains[:8])}")
    for process in processes:
        ports = ", ".join(f"{name} {port}" for name, port in process["ports"].items())
        click.echo(f"  {'+'.join(process['kinds']):36} pid {process['pid']:<8} {ports}")
    click.echo(f"message path: {_CODE[_compiled.state]}")
    hosts = ", ".join(plan.config.edge.host)
    click.echo(f"listening on {hosts}" + (" only (edge.host opens it)" if loopback_only(plan.config) else ""))
    if federated(plan.config):
        click.echo("other servers: by DNS and s2s.routes; see `rookery s2s list`")
    else:
        click.echo("other servers: off (--s2s-port, s2s.routes or other addresses in edge.host turn it on)")
    click.echo(f"health and metrics: http://127.0.0.1:{cluster.admin_port}/metrics  /livez  /readyz")
    if cluster.ca_file:
        click.echo(f"clients shall trust {cluster.ca_file}")
    name = _command()
    where = "" if plan.data == default_data_directory() else f" --data {cluster.data}"
    domain = cluster.domains[0] if cluster.domains else "localhost"
    click.echo(
        f"type next, in another terminal:\n  {name} user add{where} alice@{domain}\n  {name} status{where}"
    )


def _command() -> str:
    """How this very program is called from here."""
    found = shutil.which("rookery")
    return "rookery" if found and Path(found).samefile(sys.argv[0]) else sys.argv[0]
