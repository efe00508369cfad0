"""The ways of a stanza through a router: from its sender's stream, to one account, to many, to the server itself.

`submit` is the beginning for what an account's own streams send, `copies` and `carbons` what the sender's router does with a
message besides; `route` delivers to one account by RFC 6121 section 8, `fanout` to many, `from_workers` to some sessions;
`presence` and `iqs` say what becomes of those two kinds. `forged_marks` cleans what comes from outside.

May use `keeping`, `pushing` and what is below. Must not bind or end sessions, and must not write to the database but through
`keeping`: a handler runs to its end in the turn that brought the item.
"""
