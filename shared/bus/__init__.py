"""Items between processes: in order, with credit, each once more to the next holder when its receiver dies.

`api` is what others use: post, call, reply. `messages` is the table of all items, `versions` what changed in them. `core` is the machine of one
process (`links` for each other process, `batch`, `moves`, `parking`, `calls`, `repeats`), without I/O; `pump` drives it, `nats` and `memory` carry
its bytes, `wire` and `streams` speak to NATS.

It may touch `shared.xmpp`, for stanzas inside items, and `shared.observe`. It must not know who holds a partition (it is told), nor what an item
means, nor the database. Only `subjects` turns an address into a subject of NATS.
"""
