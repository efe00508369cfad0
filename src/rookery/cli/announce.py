"""`rookery announce`: tell something to everybody who is online."""

from __future__ import annotations

import sys
from typing import Unpack

import click

from rookery.admin import announcing
from rookery.admin.desk import Desk
from rookery.cli.desk import work
from rookery.cli.domain_change import domain_name
from rookery.cli.options import resolve, target_options
from rookery.cli.users import Target


@click.command()
@click.argument("domain", callback=domain_name)
@click.argument("text", default="-")
@click.option("--subject", default="", help="A heading.")
@target_options
def announce(domain: str, text: str, subject: str, **target: Unpack[Target]) -> None:
    """Send TEXT ("-" for standard input) to everybody who is online in DOMAIN. Who is not gets nothing, also later."""
    config, _ = resolve(**target)
    body = sys.stdin.read().strip() if text == "-" else text

    async def tell(desk: Desk) -> int:
        return await announcing.announce(desk, domain, body, subject)

    number = work(config, tell, cluster=True)
    click.echo(f"announced to {number} session{'' if number == 1 else 's'} of {domain}")
