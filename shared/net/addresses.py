"""Peer addresses: fixed sets of networks, and what limits count by."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network


class Nets:
    """A fixed set of networks; IPv4-mapped IPv6 addresses count as IPv4."""

    __slots__ = ("_cache", "_nets")

    def __init__(self, nets: Iterable[str]) -> None:
        self._nets: tuple[Network, ...] = tuple(ip_network(net, strict=False) for net in nets)
        self._cache: dict[str, bool] = {}

    def __contains__(self, host: str) -> bool:
        """Whether `host` (an address without a scope or brackets) is in one of the networks."""
        known = self._cache.get(host)
        if known is None:
            if len(self._cache) > 65536:
                self._cache.clear()
            known = self._cache[host] = self._look(host)
        return known

    def _look(self, host: str) -> bool:
        address = parse_address(host)
        return address is not None and any(
            net.version == address.version and address in net for net in self._nets
        )


def parse_address(host: str) -> IPv4Address | IPv6Address | None:
    """The address that the kernel or a proxy named; the scope is cut and mapped IPv4 is unwrapped."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def limit_key(host: str) -> str:
    """What limits count by: an IPv4 address, or the /64 of an IPv6 address (one customer has at least that many)."""
    address = parse_address(host)
    if isinstance(address, IPv6Address):
        return str(IPv6Address(int(address) >> 64 << 64))
    return str(address) if address is not None else host


@lru_cache(maxsize=1024)
def family(host: str) -> str:
    """The label of an address in metrics."""
    address = parse_address(host)
    return "ipv6" if address is not None and address.version == 6 else "ipv4"


@lru_cache(maxsize=1024)
def is_loopback(host: str) -> bool:
    """Whether an address is of this very machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
