"""`python -m tests.clients [slixmpp] [pep] [xmppjs] [profanity]`: run clients against a fresh cluster and print what they saw."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from tests.clients import profanity, slixmpp_chat, slixmpp_pep, xmppjs
from tests.clients.parties import MissingError, Parties, parties
from tests.cluster.harness import Cluster

CLIENTS: dict[str, Callable[[Parties], dict[str, Any]]] = {
    "slixmpp": slixmpp_chat.chat,
    "pep": slixmpp_pep.pep,
    "xmppjs": xmppjs.chat,
    "profanity": profanity.chat,
}


def main(names: list[str]) -> int:
    """Run the named clients, all without a name; 1 when one of them failed."""
    failed = 0
    with Cluster() as cluster:
        for name in names or CLIENTS:
            try:
                seen = CLIENTS[name](parties(cluster))
            except MissingError as exc:
                print(f"{name}: skipped: {exc}")
            except AssertionError as exc:
                failed = 1
                print(f"{name}: FAILED: {exc}")
            else:
                print(f"{name}: ok")
                for key, value in seen.items():
                    print(f"  {key}: {value}")
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
