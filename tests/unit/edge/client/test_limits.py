from __future__ import annotations

import pytest

from rookery.edge.client.limits import BROADCAST, weight
from rookery.shared.xmpp.stanza import Stanza


@pytest.mark.parametrize(
    ("stanza", "cost"),
    [
        (Stanza.build("presence"), BROADCAST),
        (Stanza.build("presence", type="unavailable"), BROADCAST),
        (Stanza.build("presence", to="a@x"), 1),
        (Stanza.build("message", to="a@x"), 1),
        (Stanza.build("iq", type="get", id="1"), 1),
        (object(), 1),
    ],
)
def test_what_goes_to_all_contacts_costs_more(stanza: object, cost: int) -> None:
    assert weight(stanza) == cost
