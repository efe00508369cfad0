"""Who is there and who holds what: members, leases, partitions, takeover, draining.

`api` is what services see (`Node`, `Service`), `node` puts it together for one process: `members` and `liveness` know the others, `assign` says who
should hold what, `leases` and `holder` see to it, `map` is what everybody knows of it, `parts` computes partitions. `fake` is a cluster in memory
for tests; it keeps to the same contract (`tests/contracts`).

It may touch the bus and the database. It must not know a kind of process beyond its name: what a partition contains is for services.
"""
