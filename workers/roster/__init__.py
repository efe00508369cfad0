"""Rosters and subscriptions (RFC 6121 sections 2 and 3): commits changes, then tells everybody whom they concern.

`subscription` is the table of RFC 6121 appendix A as one pure step, `roster` the grammar, `store` the statements, `requests` what clients ask,
`shared` what groups add to a roster and `sharing` who is told when they change, `notices` who is told, `service` puts it together. `quiet` remembers accounts without open requests.

The account's partition decides alone about its side of a subscription; the other side is another partition's. It must not deliver to clients
(the router does) nor tell presence (the presence worker does).
"""
