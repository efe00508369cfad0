"""Where clients come in: the ports of an edge, who may stay, and under which certificate.

`door` has the XMPP ports and counts everybody, `web` has the HTTP port; both put a `Connection` on a channel of `shared.net`. `tls` names the
uses of certificates, `domains` knows which domains are hosted, `limits` is what a bound stream may cost.

It may use `shared.net` and the connections of the edge. It must not read a stream: that begins in `edge.connection`.
"""
