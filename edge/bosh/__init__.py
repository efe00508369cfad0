"""BOSH (XEP-0124, XEP-0206): streams over HTTP requests that wait.

`wrapper` reads and writes what a request and an answer say, `machine` is one session without I/O, `transport` carries a client's
stream on it, `hub` has all sessions of an edge and hands requests to the edge that owns theirs.
"""
