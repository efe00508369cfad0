"""The grammar: addresses, XML, stanzas, streams, errors, SASL. Pure machines and values.

`stream` makes events of bytes (with `reader`, on expat), `stanza` is what passes through the server mostly unparsed, `xml` is a small tree for
what is looked into, `jid` prepares addresses (RFC 7622), `errors` has stanza and stream errors, `sasl/` the server's side of mechanisms.

This is the lowest floor: it may touch the standard library, expat and the libraries for PRECIS and SCRAM. It must not do I/O, read a clock, draw
random numbers, or import anything else of this project. The load tool uses nothing else of it.
"""
