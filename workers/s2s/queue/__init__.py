"""What waits for other servers: rows of Postgres for what must not be lost, memory for the rest.

`entries` says which stanza is which, `pair` is the queue of one pair of domains, `sql` the statements, `writer` the group commit.
"""
