"""Slots for files over HTTP (XEP-0363), and the HTTP port where they are put and got."""
