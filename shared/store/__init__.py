"""The message store: rows, archive ids, the group commit, and reads.

One table is the archive and the offline storage in one: what is `owed` is what offline delivery still has to bring.
"""
