"""From the first byte to a bound resource, or to a stream that goes on (RFC 6120 sections 4 to 7, RFC 7395, XEP-0198 section 5).

`negotiation` is a pure machine: events of the parser in, `effects` out. Its parts are `authentication` (around one `exchange` of SASL),
`registering` and `binding`; they share one `stream`. `login` is the shell: it carries the effects out, and asks the cluster.
`features` and `framing` say what is offered, and how all that looks over TCP and in WebSocket messages.

Everything but `login` is without I/O, clock and randomness. It must not import a connection: `login.Client` is what it needs of one.
A stanza never passes here, but for a registration and the request to bind.
"""
