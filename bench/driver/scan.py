"""Where stanzas begin and end in a byte stream, without a tree: pure functions over bytes.

Servers write well-formed XML without comments and CDATA (RFC 6120 section 11.1), so depth is told by tags alone.
"""

from __future__ import annotations

import re
from typing import Final

#: A tag: slash of an end tag, name, slash of an empty element. Quoted values may hold `>`.
#: (Possessive inside only: Python below 3.11.5 loses its way in a possessive group of possessive parts, cpython issue 106052.)
_TAG: Final = re.compile(rb"<(/?)([^\s/>]++)(?:[^>\"'/]++|\"[^\"]*+\"|'[^']*+'|/(?!>))*(/?)>")
#: The mark at the beginning of a body, a status or an id: sender, sequence number, intended time in nanoseconds.
MARK: Final = re.compile(rb"~([0-9a-f]{6})\.([0-9a-f]{8})\.([0-9a-f]{16})~")
#: A request for an answer, in the bytes of an iq.
REQUEST: Final = re.compile(rb"\A<iq[^>]* type=['\"](?:get|set)['\"]")
#: An error, in the bytes of a stanza (RFC 6120 section 8.3.1).
ERROR: Final = re.compile(rb"\A<(?:message|presence|iq)\b[^>]* type=['\"]error['\"]")
MARK_FORMAT: Final = b"~%06x.%08x.%016x~"

Mark = tuple[bytes, bytes, bytes]


def split(data: bytes) -> tuple[list[bytes], bytes]:
    """The whole first-level elements of `data` and what is left of an unfinished one.

    A stream header, an XML declaration and the stream's end tag are elements of their own. White space between is dropped.
    """
    whole: list[bytes] = []
    depth = start = done = 0
    for match in _TAG.finditer(data):
        closing, name, empty = match.groups()
        if depth == 0:
            start = match.start()
            if not (closing or empty or name[:1] == b"?" or name == b"stream" or name[-7:] == b":stream"):
                depth = 1
                continue
        elif closing:
            depth -= 1
            if depth:
                continue
        else:
            if not empty:
                depth += 1
            continue
        done = match.end()
        whole.append(data[start:done])
    return whole, data[done:].lstrip() if depth == 0 else data[start:]


def cut(data: bytes, opening: bytes, closing: bytes) -> tuple[list[Mark], bytes]:
    """The marks of a run of whole, simple stanzas at the beginning of `data`, and the rest.

    Simple: each begins with `opening`, ends with `closing` and has one mark. When they are not, nothing is taken: the rest
    is all of `data`, for `split` to look at.
    """
    end = data.find(closing) + len(closing)
    if end == len(data) and data.startswith(opening):
        # Exactly one: the chunk of a server that is not far behind.
        found = MARK.search(data)
        return ([], data) if found is None else ([(found[1], found[2], found[3])], b"")
    end = data.rfind(closing) + len(closing)
    if end >= len(closing) and data.startswith(opening):
        head = data if end == len(data) else data[:end]
        marks: list[Mark] = MARK.findall(head)
        if len(marks) == head.count(closing):
            return marks, data[end:]
    return [], data


def around(data: bytes, sender: bytes, sequence: bytes, opening: bytes, closing: bytes) -> bytes:
    """The simple stanza that has this mark, of a run that `cut` took."""
    at = data.find(b"~%b.%b." % (sender, sequence))
    return data[data.rfind(opening, 0, at) : data.find(closing, at) + len(closing)]


_CONDITION: Final = re.compile(rb"<([a-z-]+) xmlns=['\"]urn:ietf:params:xml:ns:xmpp-(?:stanzas|streams)['\"]")


def error_condition(element: bytes) -> str:
    """The defined condition of an error in its bytes (RFC 6120 section 8.3.2)."""
    found = _CONDITION.search(element)
    return found[1].decode() if found else "undefined-condition"
