"""What the admin port of a process answers beside health: the API and the pages, where an account worker runs."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from rookery.shared.config import Admin
from rookery.shared.net.guard import Guard
from rookery.shared.observe.http import Handler, Request, Response

if TYPE_CHECKING:
    from rookery.shared.cluster.node import ClusterNode

#: Imported where they are needed: edges and routers do without.
_API: Final = "rookery.admin.api.server"
_PAGES: Final = "rookery.admin.web.site"


def preload() -> None:
    """Import what it needs, before processes are forked."""
    import_module(_API)
    import_module(_PAGES)


class Front:
    """Answers from when it is opened; before, it says that this process starts."""

    def __init__(self, settings: Admin, guard: Guard) -> None:
        self._pages = settings.pages
        self._guard = guard
        self._api: Handler | None = None
        self._site: Handler | None = None

    def open(self, node: ClusterNode) -> None:
        """This process has joined the cluster."""
        self._api = import_module(_API).Api(node)
        if self._pages:
            self._site = import_module(_PAGES).Site(node)

    async def __call__(self, request: Request) -> Response:
        """The answer to what is no page of health."""
        pages = request.path == "/admin" or request.path.startswith("/admin/")
        if not (request.path.startswith("/api/") or (pages and self._pages)):
            return Response(404, b"not found\n")
        if refused := self._guard.refused(request):
            return refused
        handler = self._site if pages else self._api
        if handler is None:
            return Response(503, b"starting\n", headers=(("Retry-After", "1"),))
        return await handler(request)
