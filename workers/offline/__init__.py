"""Stored messages: brings what is owed, answers archive queries, lets go of what is too old.

`pages` prepares owed messages for the router, `queries` and `archive` answer requests (the table is `requests`), `expiry` deletes a little at a
time in one process of the cluster, `service` puts it together.

It reads what routers have written (`shared/store`), and changes only preferences and what expires. It must not mark a message as delivered: the
router settles it when a client has it.
"""
