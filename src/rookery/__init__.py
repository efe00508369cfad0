"""Rookery: a clustered XMPP server."""

from rookery import _compiled

__version__ = "0.1.0"

_compiled.install()
