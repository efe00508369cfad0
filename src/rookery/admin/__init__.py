"""What operators ask of a running cluster, as plain functions: the command line and every other way to administer call these.

They speak with the holders of partitions over the bus, under the leases as Postgres has them, and need no process of their own.
"""
