"""Errors as `application/problem+json` (RFC 9457). `code` is what programs compare; `detail` is one line for people."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

import msgspec

from rookery.admin.errors import VerbError
from rookery.shared.observe.exchange import Response

TYPE: Final = "application/problem+json"
_STATUS: Final = {"invalid": 400, "not-found": 404, "conflict": 409, "unavailable": 503}


class Problem(Exception):  # noqa: N818  the word of RFC 9457
    """A request that cannot be answered otherwise."""

    def __init__(self, status: int, code: str, detail: str, headers: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.headers = headers

    def response(self) -> Response:
        """As it is answered. The type is about:blank: the status says what it is (RFC 9457 section 4.2.1)."""
        body = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "code": self.code,
            "detail": str(self),
        }
        headers = (("Cache-Control", "no-store"), *self.headers)
        return Response(self.status, msgspec.json.encode(body), TYPE, headers)


def of_verb(error: VerbError) -> Problem:
    """Why a verb was not done."""
    headers = (("Retry-After", "1"),) if error.code == "unavailable" else ()
    return Problem(_STATUS.get(error.code, 400), error.code, str(error), headers)
