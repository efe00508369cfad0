"""Why a verb was not done. Each way to administer shows it in its own words: a line and an exit code, a status, a stanza error."""

from __future__ import annotations


class VerbError(Exception):
    """A verb was refused; the text is one line for an operator."""

    #: What programs compare.
    code = "failed"


class Invalid(VerbError):  # noqa: N818  says what it is
    """What was asked for makes no sense, or may not be."""

    code = "invalid"


class NotFound(VerbError):  # noqa: N818
    """There is no such thing."""

    code = "not-found"


class Conflict(VerbError):  # noqa: N818
    """It is there already, or something else stands in the way."""

    code = "conflict"


class Unreachable(VerbError):  # noqa: N818
    """NATS, Postgres or a holder of partitions does not answer."""

    code = "unavailable"
