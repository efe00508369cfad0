"""XEP-0509: Initial Authentication Pipelining."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Iterable
from typing import Final

from rookery.shared.xeps._xep import Xep
from rookery.shared.xmpp.xml import Element

NS: Final = "urn:xmpp:iap:0"
#: What a failure says of a client that knew other features (section 4.2).
MISMATCH: Final = (NS, "config-version-mismatch")
XEP = Xep(
    509,
    "0.2.0",
    "complete",
    implemented_in="edge",
    note="For clients; the value is a hash of the features, the same at all edges.",
)


def value(features: Iterable[Element]) -> str:
    """What stands for these features; whoever changes one of them changes it."""
    digest = hashlib.sha256("\n".join(one.xml() for one in features).encode()).digest()
    return b64encode(digest[:18]).decode()


def stream_feature(features: Iterable[Element]) -> Element:
    """Offered beside `features` (section 4.1)."""
    return Element(NS, "config-version", {"scheme": "opaque", "value": value(features)})
