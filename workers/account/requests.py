"""The requests that the account worker answers."""

from __future__ import annotations

from typing import Final

from rookery.shared.xeps import (
    adhoc_commands,
    blocking,
    client_access,
    last_activity,
    private_xml,
    registration,
    vcard_temp,
)
from rookery.shared.xeps.registry import answered_by
from rookery.workers.account import blocklist, clients, commands, stored
from rookery.workers.account import registration as accounts

REQUESTS: Final = answered_by(
    "account",
    {
        ("get", vcard_temp.NS, "vCard"): stored.get_vcard,
        ("set", vcard_temp.NS, "vCard"): stored.set_vcard,
        ("get", private_xml.NS, "query"): stored.get_private,
        ("set", private_xml.NS, "query"): stored.set_private,
        ("get", last_activity.NS, "query"): stored.last,
        ("get", blocking.NS, "blocklist"): blocklist.listed,
        ("set", blocking.NS, "block"): blocklist.block,
        ("set", blocking.NS, "unblock"): blocklist.unblock,
        ("get", client_access.NS, "list"): clients.listed,
        ("set", client_access.NS, "revoke"): clients.revoke,
        ("set", adhoc_commands.NS, "command"): commands.command,
        ("get", registration.NS, "query"): accounts.on_file,
        ("set", registration.NS, "query"): accounts.change,
    },
)
