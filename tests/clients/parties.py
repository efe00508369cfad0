"""Who talks to whom, and where: what every client test is given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.cluster.harness import Cluster


class MissingError(Exception):
    """A client cannot be had on this machine; the text says why."""


@dataclass(frozen=True, slots=True)
class Party:
    """An account and the edge that it connects to."""

    jid: str
    password: str
    c2s: int
    c2s_tls: int
    http: int


@dataclass(frozen=True, slots=True)
class Parties:
    """Two accounts on two different edges, and the CA that signed the certificates."""

    one: Party
    other: Party
    ca_file: Path


def parties(cluster: Cluster) -> Parties:
    """Two fresh accounts of localhost."""
    edges = cluster.processes("edge")
    made = [
        Party(f"{name}@localhost", password, *(edge["ports"][port] for port in ("c2s", "c2s_tls", "http")))
        for (name, password), edge in zip(cluster.add_users(2), edges, strict=False)
    ]
    return Parties(made[0], made[1], Path(cluster.ready()["ca_file"]))
