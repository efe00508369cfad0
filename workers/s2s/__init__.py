"""Streams with other servers: what goes out is kept until the other side has it, what comes in is given to whoever serves its address.

`service` takes items of the bus. `outgoing/` has one holder for each remote domain: its queue, its stream, its pauses. `queue/` are the rows.
`incoming` gives what came in to the cluster and keeps it until that has accepted it. A stream itself knows none of this.
"""
