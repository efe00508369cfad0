"""The machine of one room (XEP-0045): what stanzas do to it, without I/O, clock or randomness.

`room` is its face: a stanza and `facts` go in, a `Deed` comes out. Each feature decides in a file of its own (`entering`, `speaking`, `lists` ...): it reads the
`state` and returns `changes`. `evolve` alone changes the state, `render` alone says what occupants are told of it. May use `shared`. Must not
know the shell beside it but for `outs`.
"""
