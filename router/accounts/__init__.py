"""What a router knows of one account: its row, who is bound, what each session has been sent and what waits for it.

Values and pure machines: no bus, no database, no clock. `account` has the account, `resources` its sessions, `session` one of
them, `kept` what it was sent; `flush`, `postponed`, `resumable` and `answerable` are parts of these; `edge_note` packs what an
edge keeps of a session for the router.

May use the grammar of `shared` and the items of the bus. Must not use another folder of the router, but for the table `rules`:
whoever works on an account is above it.
"""
