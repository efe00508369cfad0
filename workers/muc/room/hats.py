"""Hats (XEP-0317): tags that somebody wears in a room, shown with the presence. They are data of an affiliate's entry."""

from __future__ import annotations

from collections.abc import Sequence

from rookery.shared.xeps.hats import NS
from rookery.shared.xmpp.xml import escape_attr
from rookery.workers.muc.room.values import Hat


def drawn(hats: Sequence[Hat]) -> bytes:
    """The element that shows hats; b"" for none."""
    if not hats:
        return b""
    each = "".join([f"<hat title='{escape_attr(hat.title)}' uri='{escape_attr(hat.uri)}'/>" for hat in hats])
    return f"<hats xmlns='{NS}'>{each}</hats>".encode()
