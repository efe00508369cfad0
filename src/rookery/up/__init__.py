"""`rookery up`: a whole cluster as the children of one process.

`start` brings up NATS and Postgres, forks the `zygote` (which makes every Rookery process by forking), and gives both to the
`supervisor`, which keeps the children alive until it is told to stop.
"""
