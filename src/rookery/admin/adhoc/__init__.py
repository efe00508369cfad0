"""Commands of administrators, asked with their clients (XEP-0050, XEP-0133): the same verbs as those of the command line and of the HTTP API.

`commands` takes a request and answers; `session` makes session ids that any process verifies; `asked` is what a command works with;
`on_users`, `on_numbers` and `on_service` have the commands.
"""
