"""`rookery bench ca`: what a server must know before remote domains are played for it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Final

import click

from rookery.bench.cli import plan_options, writable
from rookery.bench.plan import Plan, PlanError, make
from rookery.bench.remotes.authority import Authority
from rookery.bench.remotes.domains import DEAD, FLAKY
from rookery.bench.remotes.house import place_of

_OPTIONS: Final = ("--remote-domain", "--listen", "--dns", "--auth")
_DEAD: Final = "; ".join(f"{name}: {text}" for name, text in DEAD.items())
_FLAKY: Final = "; ".join(f"{name}: {text}" for name, text in FLAKY.items())


def settings(plan: Plan, ca: Path) -> dict[str, str]:
    """What each server needs in its settings, by its name."""
    trusted = ca.resolve()
    _, port = place_of(plan.listen, "listen")
    dialback = plan.auth != "external"
    pattern = f"*.{(plan.remote_domain % 0).partition('.')[2]}"
    rookery = ["[s2s]", 'enabled = "on"', f'ca_file = "{trusted}"', 'allow_nets = ["127.0.0.0/8"]']
    rookery.append(f'resolver = "{plan.dns}"' if plan.dns else f'routes = ["*={plan.listen}"]')
    rookery += [f'dialback_domains = ["{pattern}"]'] if dialback else []
    prosody = [
        f"s2s_secure_auth = {'false' if dialback else 'true'}",
        f'ssl = {{ ...; cafile = "{trusted}" }}',
    ]
    prosody.append(
        f'unbound = {{ resolvconf = false; hoststxt = false; forward = "{plan.dns.replace(":", "@")}"; '
        'options = { ["do-not-query-localhost:"] = "no"; ["module-config:"] = "iterator" } }'
        if plan.dns
        else "# static routes: only with modules of others; use --dns"
    )
    ejabberd = [f"ca_file: {trusted}", f"s2s_use_starttls: {'optional' if dialback else 'required'}"]
    host, _, number = plan.dns.rpartition(":")
    ejabberd.append(
        f"# ERL_INETRC names a file with: {{nameserver, {{{host.replace('.', ',')}}}, {number}}}. {{lookup, [dns]}}."
        if plan.dns
        else f"outgoing_s2s_port: {port}"
    )
    return {"Rookery": "\n".join(rookery), "Prosody": "\n".join(prosody), "ejabberd": "\n".join(ejabberd)}


@click.command(
    "ca", epilog=f"Dead remote domains (--dead, --dead-kinds): {_DEAD}. Flaky ones (--flaky): {_FLAKY}."
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@partial(plan_options, only=_OPTIONS)
def ca(file: Path, **options: Any) -> None:
    """Make an authority: its certificate as FILE, its key as FILE.key; then say what the server under test must know.

    `rookery bench run s2s --ca FILE` plays remote domains whose certificates it vouches for. The server is told to trust FILE and to ask the
    DNS server of the tool, which answers while a run lasts.
    """
    writable(file, Path(f"{file}.key"))
    try:
        plan = make(
            {"scenario": "s2s"}, {name: value for name, value in options.items() if value is not None}
        )
        told = settings(plan, file)
    except (PlanError, TypeError, ValueError) as error:
        raise click.UsageError(str(error)) from None
    Authority.make().write(file)
    click.echo(f"wrote {file} and {file}.key; the server needs:", err=True)
    for name, text in told.items():
        click.echo(f"\n# {name}\n{text}")
