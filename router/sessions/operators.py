"""What operators ask a router: which sessions there are, and to end some."""

from __future__ import annotations

from rookery.router.account_cache import Accounts
from rookery.router.accounts.session import Session
from rookery.router.core import Core
from rookery.router.partition import Part
from rookery.router.sessions.binding import Bindings
from rookery.shared.bus.api import Call
from rookery.shared.bus.messages import Ended, EndSessions, ListSessions, SessionList
from rookery.shared.xmpp import ns
from rookery.shared.xmpp.jid import bare_of

#: Most sessions of one answer.
PAGE = 500


class Operators:
    """Answers ListSessions and EndSessions."""

    def __init__(self, core: Core, accounts: Accounts, bindings: Bindings) -> None:
        self._core = core
        self._accounts = accounts
        self._bindings = bindings

    def on_list(self, part: Part, call: Call) -> None:
        """A page of sessions, or their number. What is asked of all accounts looks at those that are loaded: all that have sessions."""
        asked = call.request
        assert isinstance(asked, ListSessions)
        if asked.account:
            account = self._accounts.ready(part, asked.account, self.on_list, call)
            if account is None:
                return
            found = list(account.resources.by_resource.values())
        else:
            found = [
                session
                for bare, account in part.accounts.items()
                if not asked.domain or bare.rpartition("@")[2] == asked.domain
                for session in account.resources.by_resource.values()
            ]
        rows: list[tuple[str, str, int, str, bool]] = []
        if asked.limit > 0:
            behind = sorted((one for one in found if one.full > asked.after), key=lambda one: one.full)
            rows = [_row(session) for session in behind[: min(asked.limit, PAGE)]]
        online: set[str] = set()
        active: set[str] = set()
        for session in found if asked.accounts else ():
            if session.edge:
                online.add(bare_of(session.full))
                if is_active(session):
                    active.add(bare_of(session.full))
        self._core.bus.reply(call, SessionList(tuple(rows), len(found), len(online), len(active)))

    def on_end(self, part: Part, call: Call) -> None:
        """End them; those who saw them hear of it, and what they did not get finds another way."""
        asked = call.request
        assert isinstance(asked, EndSessions)
        account = self._accounts.ready(part, asked.account, self.on_end, call)
        if account is None:
            return
        chosen = [
            session
            for session in account.resources.by_resource.values()
            if asked.resource in ("", session.resource)
        ]
        for session in chosen:
            self._bindings.terminate(part, account, session, asked.condition, asked.text)
        self._core.bus.reply(call, Ended(len(chosen)))


def is_active(session: Session) -> bool:
    """Whether somebody seems to be there: available, not away, and the client has not said that it is inactive."""
    return (
        session.presence is not None
        and session.postponed is None
        and _show(session) not in ("away", "xa", "dnd")
    )


def _row(session: Session) -> tuple[str, str, int, str, bool]:
    return session.full, session.edge, session.priority, _show(session), session.resumable is not None


def _show(session: Session) -> str:
    presence = session.presence
    if presence is None:
        return "unavailable"
    element = presence.find(ns.CLIENT, "show") if b"<show" in presence.inner else None
    return "" if element is None else element.text
