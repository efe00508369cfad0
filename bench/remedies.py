"""What a person can do about users that cannot be prepared, by condition."""

from __future__ import annotations

from typing import Final

from rookery.bench.plan import Plan

#: By condition; those of later phases begin with the name of the phase.
_REMEDIES: Final = {
    "connection-refused": "does the server listen at {plan.target}?",
    "timeout": "nothing was answered within {plan.timeout:g} s: is {plan.transport} what {plan.target} speaks?",
    "tls": "is {plan.transport} what {plan.target} speaks, and does its certificate fit --domain and --ca-file?",
    "websocket": "is --path {plan.at} that of the server's WebSocket?",
    "no-starttls": "the server offers no STARTTLS there: --transport plain or tls",
    "no-mechanism": "choose another --mechanism; servers may offer more once TLS is there",
    "no-features": "is {plan.transport} what {plan.target} speaks?",
    "not-authorized": "make the users first (`rookery bench users` lists them), use --register, or say their --password",
    "host-unknown": "--domain {plan.domain} is none of the server's",
    "policy-violation": "the server wants TLS: --transport starttls or tls",
    "encryption-required": "the server wants TLS: --transport starttls or tls",
    "register: resource-constraint": "the server limits registrations: make the users by its own tools (`rookery bench users`)",
    "register: policy-violation": "the server limits registrations: make the users by its own tools (`rookery bench users`)",
    "register: not-allowed": "the server takes no registrations: make the users by its own tools (`rookery bench users`)",
    "register: service-unavailable": "the server takes no registrations: make the users by its own tools (`rookery bench users`)",
    "filling archives: service-unavailable": "the server has no archive (XEP-0313)",
}


#: Who is registered by the run itself, or exists already, has a password: it is another one.
_EXIST_ALREADY: Final = (
    "users who exist already have another password: say it by --password, or choose other names by --user"
)


def remedy_of(condition: str, plan: Plan) -> str:
    """What to do; "" when that is not known."""
    if condition == "not-authorized" and plan.register:
        return _EXIST_ALREADY
    return _REMEDIES.get(condition, "").format(plan=plan)
