"""Tasks between authentication and success: a client gives the keys of mechanisms that its account lacks (XEP-0480). A pure machine."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from enum import Enum

from rookery.edge.login.effects import AskKeys, Effect, Phase, Send
from rookery.edge.login.stream import Stream
from rookery.shared.bus.messages import AddKeys
from rookery.shared.xeps import sasl_upgrade
from rookery.shared.xmpp.errors import StreamError
from rookery.shared.xmpp.sasl.common import SaslFailure
from rookery.shared.xmpp.sasl.keys import keys_of
from rookery.shared.xmpp.xml import Element

SALT_BYTES = 16


class _Step(Enum):
    NEXT = "the client takes the task up"
    DATA = "the client sends what it has calculated"


class Upgrading:
    """The tasks of one authentication, one after the other. What takes an element raises SaslFailure or StreamError."""

    __slots__ = ("_left", "_proved", "_salt", "_step", "_stream")

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._left: list[str] = []
        self._proved = b""
        self._salt = b""
        self._step = _Step.NEXT

    def begin(self, mechanisms: Sequence[str], additional: str, proved: bytes) -> list[Effect]:
        """The client is authenticated by keys with the salt `proved`, and has selected these tasks, at least one."""
        self._left = list(mechanisms)
        self._proved = proved
        return self._proceed(additional)

    def _proceed(self, additional: str = "") -> list[Effect]:
        self._step = _Step.NEXT
        self._stream.phase = Phase.TASK
        return [self._send(sasl_upgrade.proceed(self._left[0], additional))]

    def next(self, element: Element) -> list[Effect]:
        """`<next/>`: the salt for the task."""
        if self._step is not _Step.NEXT:
            raise StreamError("policy-violation", "the task has begun")
        if element.get("task") != sasl_upgrade.PREFIX + self._left[0]:
            raise SaslFailure("malformed-request", "another task is due")
        self._step = _Step.DATA
        # A hash: ids of the stream come from the same source, and tell nothing of it.
        self._salt = hashlib.sha256(b"salt" + self._stream.token().encode()).digest()[:SALT_BYTES]
        return [self._send(sasl_upgrade.salt(self._salt, self._stream.policy.iterations))]

    def data(self, element: Element) -> list[Effect]:
        """`<task-data/>`: the salted password."""
        if self._step is not _Step.DATA:
            raise StreamError("policy-violation", "the task has not begun")
        mechanism, stream = self._left[0], self._stream
        keys = keys_of(mechanism, sasl_upgrade.salted_password(element, mechanism))
        stream.asking = True
        return [
            AskKeys(
                AddKeys(stream.account, mechanism, stream.policy.iterations, self._salt, *keys, self._proved)
            )
        ]

    def stored(self) -> list[Effect] | None:
        """The keys are stored: the next task, None when that was the last."""
        self._stream.asking = False
        del self._left[0]
        return self._proceed() if self._left else None

    def _send(self, element: Element) -> Effect:
        return Send(self._stream.framing.element(element))
