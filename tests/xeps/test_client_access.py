"""XEP-0494: Client Access Management, its elements. What it does is in tests/contracts/test_login_tokens.py."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from rookery.shared.xeps import bind2, client_access
from rookery.shared.xeps.client_access import NS, Client
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

AT = datetime(2026, 11, 29, 5, 0, tzinfo=UTC)


def test_a_client_is_listed_with_what_is_known_of_it() -> None:
    (one,) = client_access.clients([Client("x1", "Gajim", "", AT, AT, True, True)]).elements()
    assert one.get("connected") == "true"
    assert one.find_text(NS, "first-seen") == "2026-11-29T05:00:00Z"
    auth, agent = one.find(NS, "auth"), one.find(NS, "user-agent")
    assert auth is not None
    assert [way.name for way in auth.elements()] == ["password", "fast"]
    assert agent is not None
    assert [part.name for part in agent.elements()] == ["software"]
    assert one.find(NS, "permission") == Element(NS, "permission", {"status": "unrestricted"})


def test_whom_to_revoke() -> None:
    iq = Stanza.build("iq", Element(NS, "revoke", {"id": "x1"}), type="set", id="1")
    assert client_access.revoked(iq) == "x1"
    with pytest.raises(StanzaError, match="bad-request"):
        client_access.revoked(Stanza.build("iq", Element(NS, "revoke"), type="set", id="1"))


def test_a_client_is_found_by_its_resource() -> None:
    agent = "d4565fa7-4d72-4749-b3d3-740edbf87770"
    id = bind2.stable("a@x", agent)
    assert bind2.is_of(bind2.resource("Tag", "a@x", agent, "t"), id)
    assert bind2.is_of(bind2.resource("", "a@x", agent, "t"), id)
    assert not bind2.is_of(bind2.resource("Tag", "b@x", agent, "t"), id)
