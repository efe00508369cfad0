"""The requests that the offline worker answers: about archives."""

from __future__ import annotations

from typing import Final

from rookery.shared.xeps.message_archive import NS
from rookery.shared.xeps.registry import answered_by
from rookery.workers.offline.queries import Queries

REQUESTS: Final = answered_by(
    "offline",
    {
        ("get", NS, "query"): Queries.form,
        ("set", NS, "query"): Queries.query,
        ("get", NS, "metadata"): Queries.metadata,
        ("set", NS, "metadata"): Queries.nothing_to_set,
        ("get", NS, "prefs"): Queries.preferences,
        ("set", NS, "prefs"): Queries.prefer,
    },
)
