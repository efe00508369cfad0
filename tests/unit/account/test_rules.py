"""Small rules of the account worker."""

from __future__ import annotations

import pytest

from rookery.workers.account.blocklist import targets
from rookery.workers.account.registration import network_of


@pytest.mark.parametrize(
    ("ip", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_new_accounts_are_counted_by_subscriber_network(ip: str, network: str) -> None:
    assert network_of(ip) == network


def test_whom_a_block_conceals_the_account_from() -> None:
    """XEP-0191 section 3.3: only those who are allowed to see the account's presence."""
    seen_by = ["bob@one.org", "eve@two.org", "kim@two.org"]
    assert list(targets(["bob@one.org"], seen_by)) == ["bob@one.org"]
    assert list(targets(["bob@one.org/phone"], seen_by)) == ["bob@one.org/phone"]
    assert list(targets(["two.org"], seen_by)) == ["eve@two.org", "kim@two.org"]
    assert list(targets(["stranger@one.org", "three.org"], seen_by)) == []
