"""Sessions begin, fall silent, sleep, go on elsewhere, and end.

`binding` gives resources and ends sessions: what one did not get finds another way. `client_state` knows which clients nobody
looks at (XEP-0352). `resume` makes streams resumable and moves them (XEP-0198), `hibernation` keeps those without a socket and
writes their rows, `packed` is the form of such a row.

May use all of `delivery` and what is below, and the table `session` of the database. Must not be called by `delivery` other
than by the callbacks that `service` sets.
"""
