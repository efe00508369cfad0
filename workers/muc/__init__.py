"""Rooms (XEP-0045) are to be served here. There is nothing yet: no kind of process runs this folder.

The name is taken so that the floors in `pyproject.toml` hold from the first line on: a worker of rooms may touch `shared` and nothing of the
other kinds.
"""
