"""Where users connect to: of two servers each has its own domain in the stream header."""

from __future__ import annotations

import pytest

from rookery.bench.driver.target import Target
from rookery.bench.plan import Plan


@pytest.mark.parametrize("transport", ["plain", "starttls", "tls", "ws", "bosh"])
def test_each_server_is_asked_for_its_own_domain(transport: str) -> None:
    plan = Plan(
        scenario="chat",
        target="127.0.0.1:5222",
        domain="a.example",
        second_target="127.0.0.1:5223",
        second_domain="b.example",
        transport=transport,
        path="/x",
    )
    for second, domain, port in ((False, "a.example", 5222), (True, "b.example", 5223)):
        target = Target(plan, second=second)
        assert domain in (target.header if isinstance(target.header, str) else target.header.decode())
        assert target.address[1] == port
