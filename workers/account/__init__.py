"""Accounts: credentials for edges, registration, and what users keep at the server (cards, private XML, block lists, last activity).

`requests` is the table of what clients ask; `registration`, `stored` and `blocklist` answer, `userdata` and `store` have the statements, `credentials`
the keys (and invented ones for accounts that do not exist), `seen` writes last activities many at once.

It may tell routers, presence and offline workers that an account changed. It must not see a session, nor tell anybody whether an account exists.
"""
