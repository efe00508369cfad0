"""Mail addresses as we keep them: checked for what is surely none, since only a delivery proves one."""

from __future__ import annotations

from typing import Final

#: Octets of an address (RFC 5321 section 4.5.3.1).
MAX_BYTES: Final = 320


def mail_address(text: str) -> str:
    """The address without the space around it; "" stays "". Raises ValueError for what cannot be one (RFC 5321 section 4.1.2)."""
    address = text.strip()
    if not address:
        return ""
    local, at, domain = address.rpartition("@")
    if len(address.encode()) > MAX_BYTES:
        raise ValueError(f"a mail address has at most {MAX_BYTES} octets")
    if not at or not local or not all(domain.split(".")):
        raise ValueError("a mail address is written as alice@example.org")
    if not address.isprintable() or (" " in address and not local.startswith('"')):
        raise ValueError("a mail address has no spaces and no control characters")
    if "@" in local and not local.startswith('"'):
        raise ValueError("a mail address has one @")
    return address
