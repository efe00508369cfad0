"""The bus: what processes say to each other, and how it gets from one to another.

`messages` are the items, `versions` and `batch` their wire form; `links` number them, `parking` and `moves` keep their order while partitions
move, `repeats` says what goes again, `core` joins these without I/O, `nats` and `memory` carry it. `api` is what services see.
May touch: the grammar (`shared.xmpp`), configuration, metrics, sockets in `nats` and `streams` alone.
Must not: know who holds what (the cluster layer sets `resolver`), keep items for services (`shared.custody` does), name a kind's rules.
"""
