"""The edge kind: terminates client streams, and keeps what the cluster has not taken over from them yet.

A stanza comes up from a socket to `client/`, which reads it and gives it to its session in `sessions/`; that stamps it and posts it to a
router. What a router delivers comes to the table in `sessions/`, and goes the same way back. Before there is a session, `login/` negotiates.
The imports go the same way: `service`, then the door, `client`, `login`, `context`, `sessions`.

It may use everything in `shared`. It must not import another kind, nor keep state that no other process could rebuild.
`Session`, `Connection` and `Context` mean those of a client here; routers, the database and the XEPs have their own.
"""
