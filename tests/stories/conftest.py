"""One server of each sort for all stories."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.stories.rookery import Rookery
from tests.stories.targets import Prosody, Target, UnavailableError


@pytest.fixture(scope="session")
def rookery_target() -> Iterator[Target]:
    """A cluster of two edges, two routers and two workers of each kind."""
    target = Rookery()
    try:
        yield target
    finally:
        target.stop()


@pytest.fixture(scope="session")
def prosody_target() -> Iterator[Target]:
    """An installed Prosody."""
    try:
        target = Prosody()
    except UnavailableError as exc:
        pytest.skip(str(exc))
    try:
        yield target
    finally:
        target.stop()
