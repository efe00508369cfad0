"""Messages and the store: what has to be written before its sender is told so, and what was written for somebody who was away.

`rows` puts messages into the next group commit and says `Accepted` after it; `flushes` brings what is owed to a resource that
became available, page by page, with live messages in order behind it.

May use the store's writer (by the Protocol `rows.Store`), `pushing` and what is below. Must not decide where a message goes:
that is `delivery`, which calls these.
"""
