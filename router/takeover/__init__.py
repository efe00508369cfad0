"""A partition gets a new holder: nothing that was acknowledged is lost, doubled or out of order on the way.

`mirrors` asks every edge for its sessions and rebuilds them, `recovery` stores what the former holder delivered and did not
commit, `handover` passes on what a holder that goes in order took lately. All three end before the partition serves.

May use everything of the router but its service, and wait for the database and for edges, with limits. Must not deliver: that
begins when the partition is held.
"""
