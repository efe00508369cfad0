"""The client's side of SCRAM against the server's side of Rookery, which has its own tests by the RFC's vectors."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from rookery.bench.driver.scram import Keys, ScramClient, ScramError
from rookery.shared.xmpp.sasl.common import SaslFailure
from rookery.shared.xmpp.sasl.keys import derive_keys
from rookery.shared.xmpp.sasl.scram import ScramServer


@dataclass
class Stored:
    exists: bool
    salt: bytes
    iterations: int
    stored_key: bytes
    server_key: bytes


def stored(password: str, mechanism: str) -> Stored:
    salt = b"salt of 16 bytes"
    return Stored(True, salt, 4096, *derive_keys(password, mechanism, salt, 4096))


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-1", "SCRAM-SHA-256"])
@pytest.mark.parametrize("user", ["alice", "a=b"])
def test_an_exchange(mechanism: str, user: str) -> None:
    keys: Keys = {}
    for _ in range(2):
        server = ScramServer(mechanism, domain="localhost", nonce="server")
        client = ScramClient(mechanism, user, "secret", "client", keys)
        server.first(client.first())
        client.check(server.final(client.final(server.challenge(stored("secret", mechanism)))))
    assert len(keys) == 1


def test_a_wrong_password_fails_at_the_server() -> None:
    server = ScramServer("SCRAM-SHA-1", domain="localhost", nonce="server")
    client = ScramClient("SCRAM-SHA-1", "alice", "wrong", "client", {})
    server.first(client.first())
    answer = client.final(server.challenge(stored("secret", "SCRAM-SHA-1")))
    with pytest.raises(SaslFailure):
        server.final(answer)


def test_rfc_5802_example() -> None:
    client = ScramClient("SCRAM-SHA-1", "user", "pencil", "fyko+d2lbbFgONRv9qkxdawL", {})
    assert client.first() == b"n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL"
    nonce = "fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j"
    assert client.final(f"r={nonce},s=QSXCR+Q6sek8bf92,i=4096".encode()) == (
        f"c=biws,r={nonce},p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=".encode()
    )
    client.check(b"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=")
    with pytest.raises(ScramError):
        client.check(b"v=AAAAAAAAAAAAAAAAAAAAAAAAAAA=")


@pytest.mark.parametrize(
    "challenge",
    [
        b"",
        b"\xff",
        b"r=other,s=QQ==,i=4096",
        b"r=client1,s=!,i=4096",
        b"r=client1,s=QQ==,i=0",
        b"r=client1,s=QQ==,i=x",
    ],
)
def test_nonsense_is_refused(challenge: bytes) -> None:
    client = ScramClient("SCRAM-SHA-1", "alice", "secret", "client", {})
    with pytest.raises(ScramError):
        client.final(challenge)
