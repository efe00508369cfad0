"""The rows of rooms: what is written in groups, and what a new holder reads.

`rows` are the values, `sql` the statements, `writer` the group commit. It may touch the database and the message store, and must not know
what a room is or how its parts are packed.
"""
