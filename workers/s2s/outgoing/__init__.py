"""One holder for each remote domain: its queues, its one stream, its pauses.

`streams` is what a stream can do, as seen from here. `pauses` says when to try again, `gate` who may try now, `remote` is one domain,
`remotes` are all of them.
"""
