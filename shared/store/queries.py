"""Archives as their readers ask for them (XEP-0313, XEP-0059): the pages and the ends of any owner's archive.

Whoever serves the owner checks that the reader may read it, and posts the answer. Each function is a unit of work.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from rookery.shared.db.api import Connection
from rookery.shared.store import archive
from rookery.shared.store.archive import Filter
from rookery.shared.store.ids import Seal
from rookery.shared.store.owners import Owner
from rookery.shared.xeps import message_archive
from rookery.shared.xeps.message_archive import Query, Result
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.jid import Jid
from rookery.shared.xmpp.stanza import Stanza

#: Stanzas of one page: they travel as one item of the bus, with their wrapping.
MAX_BYTES: Final = 196_608

#: A message, and whom it is from: what is shown of it.
View = Callable[[Stanza, str], Stanza]


class Answer(NamedTuple):
    """A page as it is sent: the results in order of sending, then the result of the iq."""

    results: Sequence[Stanza]
    end: Stanza


def _opened(seal: Seal, owner: Owner, text: str) -> int:
    id = seal.open(owner.id, text)
    if id is None:
        raise StanzaError("item-not-found", "no such message in the archive")
    return id


def _filter(seal: Seal, owner: Owner, query: Query, occupants: bool) -> Filter:
    after = max((_opened(seal, owner, text) for text in (query.after_id, query.after) if text), default=0)
    before = min(
        (_opened(seal, owner, text) for text in (query.before_id, query.before) if text), default=1 << 62
    )
    ids = None if query.ids is None else [_opened(seal, owner, text) for text in query.ids]
    peer, exact = "", ""
    if query.with_:
        with_ = Jid.trusted(query.with_)
        peer = with_.bare
        if occupants and peer == owner.address:
            # An occupant of the room whose archive it is, or all of them; the peers of its rows are real addresses.
            return Filter(
                after, before, query.start, query.end, "", with_.full if with_.resource else "", ids
            )
        # What the owner sent to itself is found by its own address, whatever the resources (section 4.1.1).
        exact = "" if with_.resource is None or peer == owner.address else with_.full
    return Filter(after, before, query.start, query.end, peer, exact, ids)


async def answer(
    conn: Connection, seal: Seal, owner: Owner, iq: Stanza, query: Query, view: View | None = None
) -> Answer:
    """Answer a query. `view` is for the archive of a room: what a reader may see of a message. Raises StanzaError."""
    named = {_opened(seal, owner, text) for text in query.named}
    if not await archive.has_all(conn, owner.id, named):
        raise StanzaError("item-not-found", "no such message in the archive")
    wanted = _filter(seal, owner, query, view is not None)
    if query.max == 0:
        count = await archive.count(conn, owner.id, wanted, exact=True)
        return Answer((), message_archive.fin(iq, (), complete=not count, count=count, index=None))
    first = not query.after and not query.before
    backwards = query.before is not None and not query.after and query.place is None
    page = await archive.read_page(
        conn,
        owner.id,
        wanted,
        max_rows=query.max,
        max_bytes=MAX_BYTES,
        backwards=backwards,
        offset=query.place or 0,
    )
    count = await archive.count(conn, owner.id, wanted, exact=False) if first else None
    # Clients that count pages by the index stop after one when it grows smaller: a page from the end has none (XEP-0059 section 2.6).
    index = None if backwards or count is None else query.place or 0
    rows = [
        Result(
            seal.seal(owner.id, row.id), row.stamp, row.stanza if view is None else view(row.stanza, row.peer)
        )
        for row in page.rows
    ]
    sent = reversed(rows) if query.flip else rows
    return Answer(
        [message_archive.result(query.id, one, owner.address, iq.from_) for one in sent],
        message_archive.fin(iq, rows, complete=page.complete, count=count, index=index),
    )


async def metadata(conn: Connection, seal: Seal, owner: Owner, iq: Stanza) -> Stanza:
    """The ends of the archive."""
    found = await archive.ends(conn, owner.id)
    return message_archive.metadata(iq, [(seal.seal(owner.id, id), at) for id, at in found])
