"""Notifications of clients that are away, by way of the servers of their apps (XEP-0357)."""
