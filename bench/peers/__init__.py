"""The same scenario on other servers and on this one, in turn, on this machine.

Servers run from installed packages on free loopback ports, with configuration, data and logs in a temporary folder; nothing
of the system's own services is read or written. `peer.py` is the seam: another server is one more file like `prosody.py`.
"""
