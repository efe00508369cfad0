"""The router: holds partitions of bare JIDs, delivers to the sessions of their accounts, and numbers what these are sent.

A stanza comes in by `service`, which has the table of handlers, goes down through `delivery` and `keeping`, and leaves by
`pushing`. `sessions` binds, puts to sleep and ends; `takeover` rebuilds all that from the edges' mirrors and from rows.
`accounts` has the values that the others work on.

May use `shared`: the bus, the cluster, the database, the store. Must not know edges or workers other than by the items of the
bus, must not hold a socket, and must not wait for anything while it handles an item.
"""
