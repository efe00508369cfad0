"""Rookery: a clustered XMPP server."""

__version__ = "0.1.0"
