"""Hats (XEP-0317): tags that somebody wears in a room, shown with the presence. The room has a list of them, an affiliate's entry which it wears."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from rookery.shared.xeps.hats import NS
from rookery.shared.xmpp.xml import escape_attr
from rookery.workers.muc.room.values import Hat


def drawn(hats: Mapping[str, Hat], worn: Iterable[str]) -> bytes:
    """The element that shows the hats with these URIs; b"" for none."""
    each = "".join([_drawn(hat) for uri in worn if (hat := hats.get(uri)) is not None])
    return f"<hats xmlns='{NS}'>{each}</hats>".encode() if each else b""


def _drawn(hat: Hat) -> str:
    hue = f" hue='{escape_attr(hat.hue)}'" if hat.hue else ""
    return f"<hat title='{escape_attr(hat.title)}' uri='{escape_attr(hat.uri)}'{hue}/>"


def fingerprint(hats: Iterable[Hat]) -> str:
    """What tells one list of hats from another (section 3)."""
    text = "\n".join("\t".join(hat) for hat in hats)
    return hashlib.sha256(text.encode()).hexdigest()[:40]
