"""Commands about the domain: what users are told, who may administrate (XEP-0133 sections 4.23 to 4.29), whom it speaks with (4.10, 4.11)."""

from __future__ import annotations

from typing import Final

from rookery.admin import announcing, domains, names, speaking
from rookery.admin.adhoc.asked import Asked, Work
from rookery.admin.errors import Invalid
from rookery.shared.xeps.adhoc_commands import note
from rookery.shared.xmpp.xml import Element
from rookery.workers.account.policies import Changes


async def _announce(asked: Asked) -> list[Element]:
    count = await announcing.announce(asked.desk, asked.domain, asked.lines("announcement"))
    return [note(f"told to {count} sessions")]


async def _set_motd(asked: Asked) -> list[Element]:
    await announcing.set_motd(asked.desk, asked.domain, asked.lines("motd"), at_once=True)
    return []


async def _edit_motd(asked: Asked) -> list[Element]:
    await announcing.set_motd(asked.desk, asked.domain, asked.lines("motd"), at_once=False)
    return []


async def _delete_motd(asked: Asked) -> list[Element]:
    await announcing.set_motd(asked.desk, asked.domain, "", at_once=False)
    return []


async def _set_welcome(asked: Asked) -> list[Element]:
    await announcing.set_welcome(asked.desk, asked.domain, asked.lines("welcome"))
    return []


async def _delete_welcome(asked: Asked) -> list[Element]:
    await announcing.set_welcome(asked.desk, asked.domain, "")
    return []


async def _edit_admins(asked: Asked) -> list[Element]:
    """The list as it is to be; whoever changes it stays on it: nobody locks everybody out."""
    wanted = [str(names.account(text)) for text in asked.jids("adminjids")]
    if asked.desk.operator.removeprefix(OPERATOR) not in wanted:
        raise Invalid(
            "you would not be an administrator any more: another one, or the operator, takes you off the list"
        )
    await domains.put(asked.desk, asked.domain, None, Changes(admins=wanted))
    return []


async def _blacklist(asked: Asked) -> list[Element]:
    """Servers that the domain never speaks with (section 4.10), beside those that the operator blocks for all domains."""
    said = speaking.federation(None, None, asked.jids("blacklistjids"))
    await domains.put(asked.desk, asked.domain, None, Changes(federation=said))
    return []


async def _whitelist(asked: Asked) -> list[Element]:
    """Servers that the domain speaks with where it speaks with listed ones alone (section 4.11): that it does is the operator's to say."""
    said = speaking.federation(None, asked.jids("whitelistjids"), None)
    await domains.put(asked.desk, asked.domain, None, Changes(federation=said))
    if asked.policy.federation.get("mode") == "listed":
        return []
    return [note("the list counts where the operator has the domain speak with listed servers only")]


#: How the log names an administrator who asks with a client.
OPERATOR: Final = "admin "

WORK: Final[dict[str, Work]] = {
    "announce": _announce,
    "set-motd": _set_motd,
    "edit-motd": _edit_motd,
    "delete-motd": _delete_motd,
    "set-welcome": _set_welcome,
    "delete-welcome": _delete_welcome,
    "edit-admin": _edit_admins,
    "edit-blacklist": _blacklist,
    "edit-whitelist": _whitelist,
}
