"""The fault runner: client pairs exchange numbered messages while the cluster under them is broken, and a ledger judges.

`python -m tests.cluster.chaos --help`, `make chaos`, `docs/faults.md`. Where to look: `loop` (one thread, sockets and timers), `wire`
(bytes to stanzas), `stream` (one connection), `client` (one client that follows XEP-0198 to the letter), `ledger` (what was sent, acknowledged, received; the
verdict), `faults` and `net_faults` (F01 and so on), `table` (all of them), `outside` and `cables` (NATS and Postgres behind proxies), `autopsy`
(where a lost message was last seen), `runner` (all together), `telling` (its report), `rows` (the fault table).
"""
