"""The fault runner with another server: clients of one cluster write to users of a second cluster, or of a Prosody, and back.

`python -m tests.cluster.chaos.abroad --peer rookery`. `sides` has the two servers, `witness` what the other one has received, `judge` which
of its losses are its own, `faults` what is broken besides, `run` all together.
"""
