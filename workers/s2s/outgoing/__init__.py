"""One holder for each remote domain: its queues, its one stream, its pauses.

`pauses` says when to try again, `gate` who may try now, `remote` is one domain, `conditions` where it is,
`remotes` are all of them.
"""
