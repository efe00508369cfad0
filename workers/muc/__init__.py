"""Rooms (XEP-0045): a pure machine for each room, and the shell that keeps its order and loses nothing.

`room/` is the machine. Beside it is the shell: `service` is the process, `rooms` all rooms of it, `live` one room, `queue` its order,
`speaker` its voice, `loading` how it comes into memory, `store/` its rows. May touch `shared`. Must not know other kinds of worker: they meet on
the bus.
"""
