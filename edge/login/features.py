"""What a stream offers at each stage (RFC 6120 section 4.3.2), computed from what the stream is now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rookery.edge.policy import HostedDomain, Policy, Security
from rookery.shared.xeps import (
    channel_binding,
    client_state,
    pipelining,
    preauth_registration,
    registration,
    sasl2,
    sasl_upgrade,
    stream_limits,
    stream_management,
)
from rookery.shared.xmpp import ns
from rookery.shared.xmpp.sasl import ht
from rookery.shared.xmpp.xml import Element

BINDING: Final = "tls-server-end-point"
NS_ROSTER_VERSION: Final = "urn:xmpp:features:rosterver"
NS_PRE_APPROVAL: Final = "urn:xmpp:features:pre-approval"


def mechanisms(policy: Policy, security: Security, domain: HostedDomain | None) -> list[str]:
    """SASL mechanisms, best first; -PLUS where the channel can be bound. Empty where nothing may be said."""
    if not security.may_authenticate:
        return []
    shown = ["EXTERNAL"] if external(security, domain) else []
    if domain is not None and domain.logins:
        return [*shown, *domain.logins]
    plus = [f"{name}-PLUS" for name in policy.mechanisms] if security.binding is not None else []
    return [*shown, *plus, *policy.mechanisms, "PLAIN"]


def external(security: Security, domain: HostedDomain | None) -> bool:
    """Whether the client has shown a certificate for an address of the domain (RFC 6120 section 6.3.4, XEP-0178 section 2)."""
    return domain is not None and any(one.endswith(f"@{domain.name}") for one in security.addresses)


def token_mechanisms(policy: Policy, security: Security) -> list[str]:
    """Mechanisms for tokens (XEP-0484), best first: those that bind to what this stream can be bound to, and that without."""
    if not policy.fast or not security.secure:
        return []
    return [name for name, binding in ht.BINDINGS.items() if not binding or security.binding is not None]


def upgrades(policy: Policy, domain: HostedDomain | None) -> tuple[str, ...]:
    """SCRAM mechanisms that clients may give keys for (XEP-0480); the same for every user, whatever keys it has."""
    return () if domain is None or domain.logins else policy.upgrades


def before_authentication(policy: Policy, security: Security, domain: HostedDomain) -> list[Element]:
    """STARTTLS, or authentication and registration."""
    offered: list[Element] = []
    if security.starttls and not security.secure:
        required = None if security.plaintext else Element(ns.TLS, "required")
        offered.append(Element(ns.TLS, "starttls", None, required))
    names = mechanisms(policy, security, domain)
    if names:
        offered.append(
            Element(
                ns.SASL, "mechanisms", None, *(Element(ns.SASL, "mechanism", None, name) for name in names)
            )
        )
        if security.secure:
            tasks = sasl_upgrade.features(upgrades(policy, domain))
            offered.append(sasl2.stream_feature(names, token_mechanisms(policy, security), tasks))
        if security.binding is not None:
            offered.append(channel_binding.stream_feature([BINDING]))
        if policy.invitations:
            offered.append(preauth_registration.stream_feature())
        if domain.registration:
            offered.append(registration.stream_feature())
    offered.append(stream_limits.stream_feature(policy.preauth_bytes, 0))
    if security.secure:
        offered.append(pipelining.stream_feature(offered))
    return offered


def version(policy: Policy, security: Security, domain: HostedDomain) -> str:
    """What stands for that which is offered before authentication (XEP-0509)."""
    return before_authentication(policy, security, domain)[-1].get("value") or ""


def after_authentication(policy: Policy, domain: HostedDomain) -> list[Element]:
    """Binding, and what the session will have."""
    offered: list[Element] = [
        Element(ns.BIND, "bind"),
        Element(ns.SESSION, "session", None, Element(ns.SESSION, "optional")),
        Element(NS_ROSTER_VERSION, "ver"),
        Element(NS_PRE_APPROVAL, "sub"),
        stream_management.feature(),
        client_state.stream_feature(),
        stream_limits.stream_feature(policy.stanza_bytes, policy.idle_seconds),
    ]
    if domain.caps is not None:
        offered.append(domain.caps)
    return offered


def names(elements: Sequence[Element]) -> list[tuple[str, str]]:
    """Expanded names, for tests and logs."""
    return [(element.ns, element.name) for element in elements]
