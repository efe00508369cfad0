"""Stream management of a session (XEP-0198).

`machine` is pure: what may be acknowledged, when to ask, what the client has. `manager` joins it with its session: the client's elements
in; `<a/>`, `<r/>` and notes to the router out. A delivery passes `Manager.sent`, and is kept by the mirror until the client has it.

It may use the lower parts of `edge.sessions` (mirror, open iqs, line, surroundings). It must not import the session: `manager.Managed`
is what it needs of one.
"""
