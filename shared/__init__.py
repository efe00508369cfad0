"""What every process stands on: the grammar of XMPP, extensions, the bus, membership, Postgres, the message store, logs and metrics.

* `config`, `options`, `reference`, `settings`: what can be set, its form, its descriptions, and the loader.
* `collector`: Python's garbage collector without long stops.
* `pace`: short naps of a loaded process, so that more work is done at once.
* The folders, from the ground up: `xmpp`, `xeps`, `observe`, `db` and `bus`, `store`, `cluster`. The floors are tests: `pyproject.toml`.

Nothing here knows a kind of process: no import of `edge`, `router`, `workers`, the command line or the wiring. What only one kind needs
stands in the folder of that kind.
"""
