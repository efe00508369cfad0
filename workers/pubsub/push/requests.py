"""Clients ask to be notified, or not to be any more (XEP-0357 sections 5 and 6)."""

from __future__ import annotations

from rookery.shared.xeps import push
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.pubsub.keeping import Keeping, Request
from rookery.workers.pubsub.push import rows


async def enable(keeping: Keeping, request: Request) -> Stanza:
    """Notify the client that asks. Raises StanzaError."""
    worker, options = keeping.worker, keeping.worker.node.config.options(push.Options)
    app = push.read_enable(request.stanza.elements()[0], options.form_bytes)
    place = request.partition, request.from_.partition("/")[2]
    incarnation = worker.node.incarnation
    await worker.database(
        request.partition,
        lambda conn: rows.enable(conn, incarnation, request.owner, app, place, options.clients),
        request.deadline,
    )
    keeping.on_push_changed(request.owner)
    return request.stanza.result()


async def disable(keeping: Keeping, request: Request) -> Stanza:
    """Notify no more by this app server, or this node of it. Raises StanzaError."""
    worker = keeping.worker
    service, node = push.read_disable(request.stanza.elements()[0])
    incarnation = worker.node.incarnation
    await worker.database(
        request.partition,
        lambda conn: rows.disable(conn, incarnation, request.owner, service, node),
        request.deadline,
    )
    keeping.on_push_changed(request.owner)
    return request.stanza.result()
