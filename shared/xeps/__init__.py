"""Extensions: one file for each, named by what it does. A file declares its `Xep` and has its grammar.

`_xep` is the form of a declaration, `registry` builds the tables from all files: who answers a request, what is announced, what can be set, and
the documents. To add an extension is to add a file here and its test in `tests/xeps/`; nothing else has a list of them.

A file may touch `shared.xmpp`, `shared.options` and other files here. It has no I/O, no clock and no randomness: what it needs comes in as an
argument or in the `Context`. Work that needs the database belongs to a worker (`Xep.forward`), work on every stanza to the edge or the router.
"""
