"""Rookery: a clustered XMPP server.

The import names: `edge`, `router`, `workers`, `shared` and `bench` are links to the folders at the root of the checkout. What stands here itself is
the outermost floor: `cli` (commands), `wiring` (a configuration and kinds in, a running process out), `up` (a whole cluster on one
machine) and `embedded` (NATS and Postgres as children).

This file may import only what finds compiled modules, because everything else imports it first. It has the version, once.
"""

from rookery import _compiled

__version__ = "0.1.0"

_compiled.install()
