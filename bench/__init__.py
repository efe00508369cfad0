"""Load tests of any XMPP server: it speaks XMPP only and knows nothing of the server but the grammar of `rookery.shared.xmpp`."""
