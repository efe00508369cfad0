"""XEP-0215: servers for calls, and credentials that a TURN server can check."""

from __future__ import annotations

import hmac
from base64 import b64encode

import pytest

from rookery.shared.config import Config
from rookery.shared.xeps.external_services import NS, Options, Service, parse
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.xml import Element

from .helpers import ask, iq

URIS = ("stun:turn.example.org", "turn:turn.example.org:3479?transport=tcp", "turns:[2001:db8::1]")


def told(payload: str, secret: str = "s3cret", domain: str = "example.org") -> list[Element]:
    config = Config(external_services=Options(services=URIS, secret=secret))
    answer = ask(iq(payload), options=config.options, domain=domain)
    return list(answer.elements()[0].elements())


def test_all_services() -> None:
    stun, turn, turns = told(f"<services xmlns='{NS}'/>")
    assert stun.attrs == {"type": "stun", "host": "turn.example.org", "port": "3478", "transport": "udp"}
    username = "1600086500:alice@example.org"
    assert turn.attrs == {
        "type": "turn", "host": "turn.example.org", "port": "3479", "transport": "tcp", "restricted": "true",
        "username": username, "expires": "2020-09-14T12:28:20Z",
        "password": b64encode(hmac.digest(b"s3cret", username.encode(), "sha1")).decode(),
    }  # fmt: skip
    assert (turns.attrs["host"], turns.attrs["port"], turns.attrs["transport"]) == (
        "2001:db8::1",
        "5349",
        "tcp",
    )


def test_services_of_a_type() -> None:
    assert [one.attrs["type"] for one in told(f"<services xmlns='{NS}' type='turn'/>")] == ["turn"]
    assert not told(f"<services xmlns='{NS}' type='ftp'/>")


def test_without_a_secret_no_credentials() -> None:
    _, turn, _ = told(f"<services xmlns='{NS}'/>", secret="")
    assert turn.attrs["restricted"] == "true"
    assert "password" not in turn.attrs


def test_credentials() -> None:
    asked = f"<credentials xmlns='{NS}'><service host='turn.example.org' type='turn'/></credentials>"
    (one,) = told(asked)
    assert one.attrs["username"] == "1600086500:alice@example.org"


@pytest.mark.parametrize(
    ("service", "condition"),
    [
        ("<service host='turn.example.org' type='stun'/>", "item-not-found"),
        ("<service host='turn.example.org' type='turn' port='1'/>", "item-not-found"),
        ("<service host='other.example' type='turn'/>", "item-not-found"),
        ("<service type='turn'/>", "bad-request"),
        ("", "bad-request"),
    ],
)
def test_credentials_that_there_are_not(service: str, condition: str) -> None:
    with pytest.raises(StanzaError) as refused:
        told(f"<credentials xmlns='{NS}'>{service}</credentials>")
    assert refused.value.condition == condition


def test_nothing_for_users_of_other_domains() -> None:
    with pytest.raises(StanzaError) as refused:
        told(f"<services xmlns='{NS}'/>", domain="other.example")
    assert refused.value.condition == "forbidden"


@pytest.mark.parametrize(
    "uri", ["turn", "turn:", "http://x", "turn:x:0", "turn:x:99999", "turn:x?transport=sctp", "turn:a b"]
)
def test_uris_that_are_refused_at_the_start(uri: str) -> None:
    with pytest.raises(ValueError, match="turn"):
        Options(services=(uri,))


def test_the_defaults_of_the_schemes() -> None:
    assert parse("turns:t.example") == Service("turns", "t.example", 5349, "tcp")
