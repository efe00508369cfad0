"""What ended or prevented a stream, as senders and back-off shall hear of it. No I/O."""

from __future__ import annotations

from typing import Final

from rookery.shared.xmpp import ns
from rookery.shared.xmpp.errors import STREAM_CONDITIONS, StreamError
from rookery.shared.xmpp.xml import Element
from rookery.workers.s2s.streams.api import Trouble

_NOT_FOUND: Final = "remote-server-not-found"
_TIMEOUT: Final = "remote-server-timeout"
#: Stream errors of the other side that name no passing trouble, and what they are.
_LASTING: Final = {
    "host-unknown": ("policy", _NOT_FOUND),
    "host-gone": ("policy", _NOT_FOUND),
    "not-authorized": ("auth", _NOT_FOUND),
    "invalid-from": ("auth", _NOT_FOUND),
    "policy-violation": ("policy", _NOT_FOUND),
    "unsupported-version": ("policy", _NOT_FOUND),
    "unsupported-feature": ("policy", _NOT_FOUND),
}
_PASSING: Final = {"system-shutdown": "shutdown", "reset": "shutdown", "resource-constraint": "limit"}
#: What `Peer.on_lost` says.
_LOST: Final = {
    "refused": Trouble(_TIMEOUT, "the port is closed", False, "refused"),
    "unreachable": Trouble(_TIMEOUT, "there is no way to it", False, "unreachable"),
    "timeout": Trouble(_TIMEOUT, "it does not answer", False, "timeout"),
    "tls": Trouble(_TIMEOUT, "the TLS handshake failed", False, "tls"),
    "alpn": Trouble(_TIMEOUT, "the TLS handshake failed", False, "tls"),
    "slow": Trouble(_TIMEOUT, "it does not read", False, "limit"),
    "frozen": Trouble(_TIMEOUT, "this process stood still", False, "shutdown"),
    "eof": Trouble(_TIMEOUT, "the connection was closed", False, "closed"),
    "reset": Trouble(_TIMEOUT, "the connection was reset", False, "closed"),
}
IDLE: Final = Trouble(_TIMEOUT, "nobody used it", False, "idle")
CLOSED: Final = Trouble(_TIMEOUT, "the other side ended the stream", False, "closed")
FORBIDDEN: Final = Trouble("not-allowed", "these domains do not speak with one another", True, "policy")
SHUTDOWN: Final = Trouble(_TIMEOUT, "this process stops", False, "shutdown")
SILENT: Final = Trouble(_TIMEOUT, "it does not answer", False, "timeout")
FORGED: Final = Trouble(_TIMEOUT, "its dialback key is not that of its domain", False, "auth")
UNANSWERED: Final = Trouble(_TIMEOUT, "it acknowledges nothing and answers no ping", False, "unanswered")


def lost(reason: str) -> Trouble:
    """The socket is closed for this reason."""
    return _LOST.get(reason) or Trouble(_TIMEOUT, f"the connection was lost ({reason})", False, "closed")


def refused(what: str) -> Trouble:
    """The other side does not let us in."""
    return Trouble(_NOT_FOUND, what, True, "auth")


def untrusted(remote: str, why: str) -> Trouble:
    """The other side has no certificate for its domain."""
    return Trouble(_NOT_FOUND, f"no valid certificate for {remote}: {why}", True, "untrusted")


def ours(error: StreamError) -> Trouble:
    """We ended the stream with an error."""
    return Trouble(_TIMEOUT, f"it broke the protocol: {error.condition}", False, "stream")


def theirs(element: Element) -> Trouble:
    """The other side ended the stream with an error."""
    condition, text = "undefined-condition", ""
    for child in element.children:
        if isinstance(child, Element) and child.ns == ns.STREAM_ERRORS:
            if child.name == "text":
                text = "".join([each for each in child.children if isinstance(each, str)])[:200]
            elif child.name in STREAM_CONDITIONS:
                condition = child.name
    words = f"the other side says {condition}" + (f": {text}" if text else "")
    if condition in _LASTING:
        kind, stanza = _LASTING[condition]
        return Trouble(stanza, words, True, kind)
    return Trouble(_TIMEOUT, words, False, _PASSING.get(condition, "stream"))


def dialback(type: str, condition: str) -> Trouble:
    """The answer to our key was `invalid` or an error (XEP-0220 sections 2.1.1, 2.4)."""
    if type == "invalid":
        return Trouble("internal-server-error", "the other side does not believe our key", True, "auth")
    if condition in ("item-not-found", "not-authorized", "policy-violation", "forbidden", "not-acceptable"):
        return Trouble(_NOT_FOUND, f"the other side says {condition}", True, "auth")
    return Trouble(_TIMEOUT, f"the other side says {condition}", False, "stream")
