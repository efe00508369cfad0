"""The kinds of worker: each holds partitions of accounts and does for them what needs the database.

* `roster`, `presence`, `offline`, `account`: a folder each, with a `service` that the wiring starts.
* `hosted`: what they have in common (lanes, patience with the database, answers). `lanes` keeps the order of each account, `once` does an item
  that comes twice only once, `requests` answers iqs by the table of the kind.

A worker may touch everything in `shared`. It must not import another kind (a test says so): kinds talk by items of the bus. It keeps
nothing that it could not read again, so that another process takes over at any moment.
"""
