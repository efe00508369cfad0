"""PubSub (XEP-0060): nodes of services (`pubsub.<domain>`) and of accounts (PEP, XEP-0163).

A node is a value and a few pure functions: `node` has the value, `config` its settings, `access` who may do what; `publisher`, `subscriber`, `owner`
and `entity` decide what a request changes, each for one group of use cases of XEP-0060; `changes` is what they decide and how a node evolves by
it. `store` writes changes, `nodes` keeps what is in use, `notices` tells subscribers, `requests` puts a request together, `service` is the process.

A publication is committed before it is answered, and told after that. It may read rosters and block lists; it must not write them.
"""
