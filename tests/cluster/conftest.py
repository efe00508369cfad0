"""One cluster for the tests that do not break it, and clients on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from tests.cluster.harness import Cluster
from tests.cluster.people import People


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Two edges, two routers, two workers of each kind, two domains."""
    with Cluster() as running:
        yield running


@pytest.fixture(scope="session")
def accounts(cluster: Cluster) -> Iterator[tuple[str, str]]:
    """Fresh accounts of `localhost`, as many as asked for."""

    def supply() -> Iterator[tuple[str, str]]:
        while True:
            yield from cluster.add_users(200)

    return supply()


@pytest.fixture
async def people(cluster: Cluster, accounts: Iterator[tuple[str, str]]) -> AsyncIterator[People]:
    """Clients of this test; at its end the cluster must still answer another session."""
    one = People(cluster, accounts)
    try:
        witness = await one.online()
        yield one
        answer = await witness.ping()
        assert answer.get("type") == "result"
    finally:
        await one.leave()
