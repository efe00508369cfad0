"""The bound streams of an edge: what their clients send, what routers deliver to them, what is kept until somebody else has it.

In: `session` checks and stamps a stanza, posts it, and keeps it (`edge.inflight`) until `streams` hears that it was accepted.
Out: `table` finds the session of a delivery; its `mirror` judges the number, and its `line` writes it. `acks` tells the router.
`management/` is XEP-0198. `endings`, `attachments`, `recent_messages` and `successors` are what the next holder of a partition is told.

The parts do not import the table or a connection: `surroundings`, `session.Table`, `manager.Managed` and `line` say what they need of them.
It may use the bus, and the reactor as a clock. It must not know sockets, transports or negotiation.
"""
