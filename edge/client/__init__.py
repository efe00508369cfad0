"""One client's connection: what it reads, what it writes, when it has to be over.

`connection` joins a transport with the rest, and is the only object that a transport knows. It owns an `inbox` (parser, rate, what a turn
has left over) and its `deadlines`, a `Login` until a resource is bound, then a `Session`.
A stanza comes in as bytes at `Connection.on_data`, and leaves it as `Session.take`; a delivery comes from its session at `send`.

It may use `login`, `context` and `sessions`. It must not know a router, and it does no I/O itself: its transport does.
"""
