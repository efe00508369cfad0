from __future__ import annotations

from rookery.edge.login.features import after_authentication, names
from rookery.edge.policy import HostedDomain, Policy


def test_client_state_is_offered_after_authentication() -> None:
    policy = Policy(lambda name: None, lambda: "", (), 10_000, 10_000, 300, 5)
    assert ("urn:xmpp:csi:0", "csi") in names(after_authentication(policy, HostedDomain("x")))
