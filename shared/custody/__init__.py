"""Custody: whoever passes a durable stanza on keeps it until the next one has it.

`inflight` is what a source keeps for each of its streams, `kept` what a process in the middle keeps of what it has handed on,
`successors` what goes again when a holder changes, `told_nodes` what sessions were
told of nodes lately, `custodian` the shell that joins the two to the node of a router or a worker.
May touch: the items of the bus, the node that `shared.cluster.api` describes, stanzas.
Must not: know of any kind of process, do I/O, read a clock but the one that it is given (the shell apart, which posts and is told).
"""
