"""Other people's clients against a cluster: slixmpp, xmpp.js and Profanity; `python -m tests.clients` runs them by hand."""
