from __future__ import annotations

import pytest

from rookery.shared.net.addresses import Nets, limit_key


@pytest.mark.parametrize(
    ("host", "inside"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("::1%lo", True),
        ("128.0.0.1", False),
        ("::2", False),
        ("", False),
        ("nonsense", False),
    ],
)
def test_nets(host: str, inside: bool) -> None:
    nets = Nets(("127.0.0.0/8", "::1/128"))
    assert (host in nets) is inside
    assert (host in nets) is inside  # from the cache


@pytest.mark.parametrize(
    ("host", "key"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:aaaa::1", "2001:db8:1:2::"),
        ("2001:db8:1:2:bbbb::9", "2001:db8:1:2::"),
        ("2001:db8:1:3::9", "2001:db8:1:3::"),
    ],
)
def test_limits_count_by_address_or_by_64(host: str, key: str) -> None:
    assert limit_key(host) == key
