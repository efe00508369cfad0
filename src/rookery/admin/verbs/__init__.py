"""All verbs, in one table. A new one is a row in a file here; what a new part of the server brings is a file of its own in `TABLE`."""

from __future__ import annotations

from typing import Final

from rookery.admin.verb import Verb
from rookery.admin.verbs import (
    clients,
    cluster,
    domains,
    groups,
    invitations,
    messages,
    registrations,
    reports,
    rooms,
    rosters,
    s2s,
    sessions,
    tokens,
    trace,
    users,
    watch,
)

#: Every verb. Their order is that of the document.
TABLE: Final[tuple[Verb, ...]] = (
    *domains.VERBS,
    *users.VERBS,
    *invitations.VERBS,
    *registrations.VERBS,
    *clients.VERBS,
    *sessions.VERBS,
    *watch.VERBS,
    *trace.VERBS,
    *rosters.VERBS,
    *groups.VERBS,
    *rooms.VERBS,
    *messages.VERBS,
    *reports.VERBS,
    *s2s.VERBS,
    *cluster.VERBS,
    *tokens.VERBS,
)
