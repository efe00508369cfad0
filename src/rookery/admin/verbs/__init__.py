"""All verbs, in one table. A new one is a row in a file here; what a new part of the server brings is a file of its own in `TABLE`."""

from __future__ import annotations

from typing import Final

from rookery.admin.verb import Verb
from rookery.admin.verbs import cluster, domains, messages, rosters, sessions, tokens, users

#: Every verb. Their order is that of the document.
TABLE: Final[tuple[Verb, ...]] = (
    *domains.VERBS,
    *users.VERBS,
    *sessions.VERBS,
    *rosters.VERBS,
    *messages.VERBS,
    *cluster.VERBS,
    *tokens.VERBS,
)
