"""The floor that everything with a socket stands on: one reactor, channels, TLS on both sides, timers, HTTP and WebSocket.

A stream's way through it: `listener` or `dial` makes a `channel`, `stages` look at its first bytes, `handshakes` are done for it in threads,
then its `transport.Peer` hears of what comes in. `reactor` calls all of them; `timers` are its clock.

It knows bytes, addresses and certificates. It may use `shared.observe`, values of `shared.config` and `shared.xmpp` (channel binding
alone). It must not know XML, domains, sessions or the bus, nor which kind of process it serves: certificates, counters and
limits are handed in (`security.Security`, `http.Site`).
"""
