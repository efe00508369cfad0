"""The pages, by subject."""

from __future__ import annotations

from typing import Final

from rookery.admin.web.pages import cluster, domains, rooms, s2s, users, waiting
from rookery.admin.web.visit import Page

#: All pages; the first that fits is taken.
PAGES: Final[tuple[Page, ...]] = (
    *cluster.PAGES,
    *users.PAGES,
    *waiting.PAGES,
    *domains.PAGES,
    *rooms.PAGES,
    *s2s.PAGES,
)
