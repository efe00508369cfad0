"""The administration API over HTTP: the table of verbs on the admin port of account workers.

`server` takes a request through `access` (tokens, limits), `routing` and `reading` (what is given), and answers; `problems` are the errors,
`document` is the OpenAPI description, `ejabberd` the commands of that name.
"""
