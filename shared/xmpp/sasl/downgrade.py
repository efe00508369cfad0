"""What a server has offered, as SCRAM signs it (XEP-0474 section 5): whoever took something out of the list is found out. Pure."""

from __future__ import annotations

from collections.abc import Collection


def advertised(mechanisms: Collection[str], bindings: Collection[str] | None) -> bytes:
    """The text whose hash SCRAM's `h` is: mechanisms and channel bindings, each sorted by octets.

    `bindings` is None where XEP-0440 was not used to advertise any.
    """
    text = "\x1e".join(sorted(mechanisms))
    if bindings is not None:
        text += "\x1f" + "\x1e".join(sorted(bindings))
    return text.encode()
