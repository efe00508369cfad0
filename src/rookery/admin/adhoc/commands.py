"""Answers commands: who may, which stage, what is done."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Final

import structlog

from rookery.admin import domains
from rookery.admin.adhoc import on_invitations, on_numbers, on_service, on_users, session
from rookery.admin.adhoc.asked import Asked, Work, bad_payload
from rookery.admin.adhoc.on_service import OPERATOR
from rookery.admin.adhoc.session import Bearer
from rookery.admin.desk import Desk, NodeDesk
from rookery.admin.errors import Conflict, NotFound, VerbError
from rookery.shared.bus.kinds import ACCOUNTS
from rookery.shared.cluster.api import Node
from rookery.shared.db.api import DatabaseUnavailable
from rookery.shared.db.secrets import shared_secrets
from rookery.shared.xeps.adhoc_commands import ACTIONS, NS, answered, note
from rookery.shared.xeps.data_forms import NS as FORMS
from rookery.shared.xeps.data_forms import values
from rookery.shared.xeps.invitations import COMMANDS
from rookery.shared.xeps.service_administration import ADMIN, BY_NODE, NOT_ALLOWED, Command
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.jid import Jid
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element
from rookery.workers.account.policies import Policy

_log = structlog.get_logger()
#: The purpose of the secret that seals session ids.
PURPOSE: Final = "commands"
WORK: Final[Mapping[str, Work]] = {**on_users.WORK, **on_numbers.WORK, **on_service.WORK}


class Commands:
    """The commands of one process. It keeps nothing of a session."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._secrets: Sequence[bytes] = ()

    async def __call__(self, iq: Stanza) -> Stanza:
        """The answer to a request. Raises StanzaError."""
        try:
            return await self._answer(iq)
        except DatabaseUnavailable:
            raise StanzaError("internal-server-error", "try again soon", type="wait") from None

    async def _answer(self, iq: Stanza) -> Stanza:
        asked = iq.find(NS, "command")
        assert asked is not None  # the dispatch table matched it
        sender = Jid.trusted(iq.from_)
        to = Jid.trusted(iq.to) if iq.to else Jid.trusted(sender.bare)
        desk = NodeDesk(self._node, f"{OPERATOR}{sender.bare}")
        node = asked.get("node") or ""
        if node in COMMANDS:
            return await self._invite(iq, asked, desk, to)
        command = _known(node)
        policy = await allowed(desk, sender, to.domain)
        id, begins = await self._session(
            iq, asked, Bearer(command.node, iq.from_, str(to)), bool(command.fields)
        )
        if asked.get("action") == "cancel":
            return iq.result(answered(command.full, id, "canceled"))
        if begins and command.fields:
            return iq.result(answered(command.full, id, "executing", command.form(**_filled(policy))))
        payload = await _done(Asked(desk, policy, submitted(command, asked)), command)
        return iq.result(answered(command.full, id, "completed", *payload))

    async def _invite(self, iq: Stanza, asked: Element, desk: Desk, to: Jid) -> Stanza:
        """The commands of users (XEP-0401)."""
        sender, node = Jid.trusted(iq.from_), asked.get("node") or ""
        await on_invitations.allowed(desk, sender, to.domain, node)
        asks = on_invitations.asks(node)
        id, begins = await self._session(iq, asked, Bearer(node, iq.from_, str(to)), asks is not None)
        if asked.get("action") == "cancel":
            return iq.result(answered(node, id, "canceled"))
        if begins and asks is not None:
            return iq.result(answered(node, id, "executing", asks))
        x = asked.find(FORMS, "x")
        if x is None and asks is not None:
            raise bad_payload("fill in the form")
        payload = await on_invitations.made(desk, sender, node, {} if x is None else values(x))
        return iq.result(answered(node, id, "completed", payload))

    async def _session(self, iq: Stanza, asked: Element, bearer: Bearer, form: bool) -> tuple[str, bool]:
        """The id of the session, and whether it begins now. Raises StanzaError (XEP-0050 section 4.4)."""
        action, id = asked.get("action") or "execute", asked.get("sessionid") or ""
        if action not in ACTIONS:
            raise StanzaError("bad-request", f"there is no action {action}", app=(NS, "malformed-action"))
        keys = await self._keys()
        if id:
            session.verify(keys, bearer, id, time.time())
        elif action not in ("execute", "complete") or (action == "complete" and form):
            raise StanzaError("bad-request", "a command begins with execute", app=(NS, "bad-action"))
        if action in ("prev", "next"):
            raise StanzaError("bad-request", "it has one stage", app=(NS, "bad-action"))
        return (
            (id, False) if id else (session.issue(keys[0], bearer, time.time(), secrets.token_hex(8)), True)
        )

    async def _keys(self) -> Sequence[bytes]:
        if not self._secrets:
            self._secrets = await shared_secrets(self._node.db, PURPOSE)
        return self._secrets


async def allowed(desk: Desk, sender: Jid, domain: str) -> Policy:
    """The domain that somebody may administrate, as it is set now. Raises StanzaError."""
    try:
        policy = await domains.find(desk, domain)
    except NotFound:
        raise StanzaError("item-not-found") from None
    if policy.kind != ACCOUNTS or sender.bare not in policy.admins:
        raise StanzaError("forbidden")
    return policy


def _known(node: str) -> Command:
    """The command of a node. Raises StanzaError: what nobody may, what this server does not do, what is none (XEP-0133 section 5)."""
    command = BY_NODE.get(node)
    if command is not None:
        return command
    if node in NOT_ALLOWED:
        raise StanzaError("not-allowed", "this is done by the operator of the server")
    raise StanzaError("feature-not-implemented" if node.startswith(f"{ADMIN}#") else "item-not-found")


def _filled(policy: Policy) -> dict[str, Sequence[str]]:
    """What forms have already: the texts and the list that are to be changed."""
    return {
        "motd": policy.motd.split("\n") if policy.motd else (),
        "welcome": policy.welcome.split("\n") if policy.welcome else (),
        "adminjids": policy.admins,
        "blacklistjids": policy.federation.get("block", ()),
        "whitelistjids": policy.federation.get("allow", ()),
    }


def submitted(command: Command, asked: Element) -> dict[str, list[str]]:
    """The fields of the form that was filled in. Raises StanzaError (bad-payload)."""
    if not command.fields:
        return {}
    x = asked.find(FORMS, "x")
    if x is None:
        raise bad_payload("fill in the form")
    found = values(x)
    if found.pop("FORM_TYPE", [ADMIN])[:1] != [ADMIN]:
        raise bad_payload("this is another form")
    for field in command.fields:
        if field.required and not any(value.strip() for value in found.get(field.var, ())):
            raise bad_payload(f"{field.label} is missing")
    return found


async def _done(asked: Asked, command: Command) -> list[Element]:
    """Do it. What cannot be done is told by an error note (XEP-0050 section 3.7), a conflict by an error (XEP-0133 section 5)."""
    status = "failed"
    try:
        payload = await WORK[command.node](asked)
        status = "done"
    except Conflict as error:
        raise StanzaError("conflict", str(error)) from None
    except VerbError as error:
        payload = [note(str(error), "error")]
    finally:
        _log.info(
            "admin_command",
            operator=asked.desk.operator,
            command=command.node,
            domain=asked.domain,
            target=" ".join((*asked.fields.get("accountjids", ()), *asked.fields.get("accountjid", ())))[
                :500
            ],
            status=status,
        )
    return payload
