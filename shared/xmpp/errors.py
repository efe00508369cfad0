"""Stanza errors (RFC 6120 section 8.3.3) and stream errors (RFC 6120 section 4.9.3)."""

from __future__ import annotations

from typing import Final

#: Defined stanza error conditions and the error type that RFC 6120 section 8.3.3 associates with each.
STANZA_CONDITIONS: Final[dict[str, str]] = {
    "bad-request": "modify",
    "conflict": "cancel",
    "feature-not-implemented": "cancel",
    "forbidden": "auth",
    "gone": "cancel",
    "internal-server-error": "cancel",
    "item-not-found": "cancel",
    "jid-malformed": "modify",
    "not-acceptable": "modify",
    "not-allowed": "cancel",
    "not-authorized": "auth",
    "policy-violation": "modify",
    "recipient-unavailable": "wait",
    "redirect": "modify",
    "registration-required": "auth",
    "remote-server-not-found": "cancel",
    "remote-server-timeout": "wait",
    "resource-constraint": "wait",
    "service-unavailable": "cancel",
    "subscription-required": "auth",
    "undefined-condition": "cancel",
    "unexpected-request": "wait",
}

#: Defined stream error conditions (RFC 6120 section 4.9.3.1 to 4.9.3.25).
STREAM_CONDITIONS: Final[frozenset[str]] = frozenset(
    {
        "bad-format",
        "bad-namespace-prefix",
        "conflict",
        "connection-timeout",
        "host-gone",
        "host-unknown",
        "improper-addressing",
        "internal-server-error",
        "invalid-from",
        "invalid-namespace",
        "invalid-xml",
        "not-authorized",
        "not-well-formed",
        "policy-violation",
        "remote-connection-failed",
        "reset",
        "resource-constraint",
        "restricted-xml",
        "see-other-host",
        "system-shutdown",
        "undefined-condition",
        "unsupported-encoding",
        "unsupported-feature",
        "unsupported-stanza-type",
        "unsupported-version",
    }
)


class StanzaError(Exception):
    """A stanza cannot be handled; the sender gets an error stanza and the stream goes on (RFC 6120 section 8.3).

    `condition` is a key of `STANZA_CONDITIONS`; `type` defaults to the one that the RFC associates with it;
    `app` is an optional application-specific condition as (namespace, name) (section 8.3.4), `app_attrs` its attributes; `address` is
    where to turn to instead, as the text of the condition (`gone`, `redirect`).
    """

    def __init__(
        self,
        condition: str,
        text: str | None = None,
        *,
        type: str | None = None,
        app: tuple[str, str] | None = None,
        app_attrs: dict[str, str] | None = None,
        address: str = "",
    ) -> None:
        super().__init__(condition, text)
        self.condition = condition
        self.type = type or STANZA_CONDITIONS[condition]
        self.text = text
        self.app = app
        self.app_attrs = app_attrs
        self.address = address


class StreamError(Exception):
    """The stream cannot go on; it is closed with this condition (RFC 6120 section 4.9).

    `app` is an optional application-specific condition element in canonical XML (section 4.9.4).
    """

    def __init__(self, condition: str, text: str | None = None, *, app: str = "") -> None:
        super().__init__(condition, text)
        assert condition in STREAM_CONDITIONS, condition
        self.condition = condition
        self.text = text
        self.app = app


class JidError(ValueError):
    """A string is not a valid JID (RFC 7622)."""
