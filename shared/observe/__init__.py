"""What a process tells of itself: logs (`log`), metrics (`metrics`, one table), health over HTTP (`admin`), with a small server and client.

Anything may import it. It must not import what it observes: a process gives it numbers and checks (`Health.checks`, `sample`). A new
metric is a line in `metrics`; the document `docs/metrics.md` is made of that. Nothing here logs a body, a password or a token.
"""
