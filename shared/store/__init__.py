"""The message store: rows, archive ids, the group commit, and reads.

One table is the archive and the offline storage in one: what is `owed` is what offline delivery still has to bring. `rows` says what may be
stored, `ids` gives out and seals ids, `writer` commits groups (with `sql`), `reader` and `archive` read, mark and delete.

It may touch the database, stanzas and the names of extensions. It must not send anything: who is told of a commit is for those who call it.
"""
