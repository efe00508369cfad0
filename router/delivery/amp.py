"""Rules that senders put on messages (XEP-0079), where the recipient's router is about to deliver them."""

from __future__ import annotations

from typing import Final

from rookery.router.accounts.account import Account
from rookery.router.core import Core
from rookery.router.partition import Part
from rookery.router.rules import MESSAGES, NORMAL, Action, Case
from rookery.shared.bus.messages import NOBODY, Origin, answering
from rookery.shared.store.rows import offline_eligible
from rookery.shared.xeps import advanced_messages
from rookery.shared.xeps.advanced_messages import Fate
from rookery.shared.xmpp.stanza import Stanza

NS: Final = advanced_messages.NS


def fate(account: Account, case: Case, resource: str, stanza: Stanza) -> Fate:
    """What would become of a message."""
    action = MESSAGES.get(stanza.type, NORMAL)[case]
    if action is Action.DELIVER:
        return Fate("direct", (resource,))
    if action in (Action.BEST, Action.EACH):
        resources = account.resources
        targets = resources.best if action is Action.BEST else resources.non_negative
        return Fate("direct", tuple(session.resource for session in targets))
    if action is Action.STORE and offline_eligible(stanza):
        return Fate("stored")
    return Fate("none")


class Rules:
    """Applies them."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._tells = core.node.config.options(advanced_messages.Options).tells_presence

    def allow(
        self, part: Part, account: Account, case: Case, resource: str, origin: Origin, stanza: Stanza
    ) -> bool:
        """Whether the message goes its way. Else it is dealt with, and accepted."""
        if not advanced_messages.has_rules(stanza):
            return True
        core = self._core
        to = fate(account, case, resource, stanza)
        verdict = advanced_messages.judge(stanza, to, core.clock(), self._may_learn(account, stanza.from_))
        for at, answer in enumerate(verdict.answers):
            uid = answering(origin)
            core.route(answer, uid._replace(stream=b"%d:" % at + uid.stream) if uid.stream else NOBODY)
        if not verdict.goes_on:
            core.count.dropped += 1
            core.accept(part, origin)
        return verdict.goes_on

    def outdated(self, stanza: Stanza) -> bool:
        """Whether a stored message is not to be delivered any more; its sender is told so."""
        verdict = advanced_messages.expired(stanza, self._core.clock())
        for answer in verdict.answers:
            self._core.route(answer)
        return not verdict.goes_on

    def _may_learn(self, account: Account, sender: str) -> bool:
        bare = sender.partition("/")[0]
        if bare == account.bare or self._tells == "everybody":
            return True
        return self._tells == "local" and self._core.addresses.account(bare)
