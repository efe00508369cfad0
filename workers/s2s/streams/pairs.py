"""Which pairs of domains a stream has proved, and what it may carry therefore (RFC 6120 sections 4.9.3, 8.1). No I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from rookery.shared.xmpp.errors import JidError, StreamError
from rookery.shared.xmpp.jid import Jid
from rookery.shared.xmpp.stanza import Stanza


class Pairs:
    """Pairs (remote, local) whose stanzas from the remote are let in."""

    __slots__ = ("_hosted", "_pairs", "remotes")

    def __init__(self, hosted: Callable[[str], bool]) -> None:
        self._hosted = hosted
        self._pairs: set[tuple[str, str]] = set()
        self.remotes: set[str] = set()

    def __len__(self) -> int:
        return len(self._pairs)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._pairs)

    def __contains__(self, pair: tuple[str, str]) -> bool:
        return pair in self._pairs

    def add(self, remote: str, local: str) -> bool:
        """A remote domain has proved itself to a hosted one; whether that is new."""
        if (remote, local) in self._pairs:
            return False
        self._pairs.add((remote, local))
        self.remotes.add(remote)
        return True

    def admit(self, stanza: Stanza) -> Stanza:
        """The stanza with prepared addresses. Raises StreamError when it may not come on this stream."""
        if not self._pairs:
            raise StreamError("not-authorized", "no domain has proved itself on this stream")
        to, from_ = stanza.to, stanza.from_
        if not to or not from_:
            raise StreamError("improper-addressing", "a stanza between servers has to and from")
        try:
            target, sender = Jid.parse(to), Jid.parse(from_)
        except JidError:
            raise StreamError("improper-addressing", "to or from is no address") from None
        if (sender.domain, target.domain) not in self._pairs:
            raise self._stranger(sender.domain, target.domain)
        if target.full != to or sender.full != from_:
            return stanza.replace(to=target.full, from_=sender.full)
        return stanza

    def _stranger(self, remote: str, local: str) -> StreamError:
        if remote not in self.remotes:
            return StreamError("invalid-from", f"{remote} has not proved itself on this stream")
        if not self._hosted(local):
            return StreamError("host-unknown", f"{local} is not served here")
        return StreamError("not-authorized", f"{remote} has not proved itself to {local}")
