"""Whether this cluster exchanges stanzas with other servers."""

from __future__ import annotations

from ipaddress import ip_address

from rookery.shared.config import Config


def federated(config: Config) -> bool:
    """By setting; `auto`: unless only this machine can reach us, so that nobody outside could answer, and no route is set."""
    s2s = config.s2s
    if s2s.enabled != "auto":
        return s2s.enabled == "on"
    hosts = s2s.host or config.edge.host
    return bool(s2s.routes) or not all(ip_address(host).is_loopback for host in hosts)
