"""Back ends of a domain's logins: their settings, their breaker, and tokens of an issuer made here, with keys of its own."""

from __future__ import annotations

import hmac
import json
import time
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Any

import pytest
import trio
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey

from rookery.workers.account.logins import settings
from rookery.workers.account.logins.api import Answer, AwayError
from rookery.workers.account.logins.breaker import FAILURES, FIRST_PAUSE, LONGEST_PAUSE, Breaker
from rookery.workers.account.logins.oidc import UNKNOWN_SECONDS, Issuer
from rookery.workers.account.logins.settings import Ldap, Oidc, load

RSA = RSAKey.generate_key(2048, {"kid": "rsa", "use": "sig", "alg": "RS256"}, private=True)
EC = ECKey.generate_key("P-256", {"kid": "ec", "use": "sig", "alg": "ES256"}, private=True)
LATER = RSAKey.generate_key(2048, {"kid": "later", "use": "sig", "alg": "RS256"}, private=True)
ISSUER = "https://login.one.org"


def published(path: Path, *keys: Any) -> None:
    public = KeySet(list(keys)).as_dict(private=False)
    # What an issuer has beside its signing keys spoils nothing.
    public["keys"] += [{"kty": "RSA", "use": "enc", "n": "AQAB", "e": "AQAB", "kid": "e"}, {"kty": "XYZ"}]
    path.write_text(json.dumps(public))


def token(key: Any = RSA, alg: str = "RS256", header: dict[str, Any] | None = None, **changes: Any) -> str:
    now = int(time.time())
    claims = {
        "iss": ISSUER,
        "aud": "xmpp",
        "exp": now + 300,
        "iat": now,
        "preferred_username": "alice",
        "scope": "openid chat",
    }
    claims = {name: value for name, value in (claims | changes).items() if value is not None}
    return jwt.encode({"alg": alg, "kid": key.kid} | (header or {}), claims, key, algorithms=[alg])


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    path = tmp_path / "jwks.json"
    published(path, RSA, EC)
    return path


def issuer(keys: Path, **changes: Any) -> Issuer:
    said = {
        "type": "oidc",
        "issuer": ISSUER,
        "jwks": str(keys),
        "audiences": ["xmpp"],
        "scope": "chat",
    } | changes
    auth = load(said)
    assert isinstance(auth, Oidc)
    return Issuer(auth)


@pytest.mark.parametrize("key", [RSA, EC])
async def test_a_good_token_names_its_user_and_ends(keys: Path, key: Any) -> None:
    alg = "RS256" if key is RSA else "ES256"
    answer = await issuer(keys).check("one.org", "", token(key, alg))
    assert answer.localpart == "alice"
    assert answer.until > time.time()
    assert (await issuer(keys).check("one.org", "alice", token(key, alg))).localpart == "alice"


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://evil.example"},
        {"aud": "mail"},
        {"aud": None},
        {"exp": 1},
        {"exp": None},
        {"exp": "tomorrow"},
        {"nbf": int(time.time()) + 3600},
        {"scope": "openid"},
        {"scope": None},
        {"preferred_username": None},
        {"preferred_username": 7},
        {"preferred_username": "alice@two.org"},
    ],
)
async def test_claims_that_let_nobody_in(keys: Path, changes: dict[str, Any]) -> None:
    assert await issuer(keys).check("one.org", "", token(**changes)) == Answer()


def _base64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


async def test_forgeries(keys: Path) -> None:
    ours = issuer(keys)
    good = token()
    header, claims, signature = good.split(".")
    other = RSAKey.generate_key(2048, {"kid": "rsa"}, private=True)
    # The public key as the secret of a symmetric algorithm, and no algorithm at all.
    head = _base64(b'{"alg":"HS256","kid":"rsa"}')
    mac = hmac.digest(RSA.as_pem(private=False), f"{head}.{claims}".encode(), "sha256")
    confused = f"{head}.{claims}.{_base64(mac)}"
    unsigned = "eyJhbGciOiJub25lIn0." + claims + "."
    forged = [
        token(other),
        confused,
        unsigned,
        f"{header}.{claims}.{signature[:-8]}AAAAAAAA",
        f"{header}.{claims}.",
        "x.y.z",
        "",
        good + ".",
    ]
    for one in forged:
        assert await ours.check("one.org", "", one) == Answer(), one
    assert await ours.check("one.org", "bob", good) == Answer()


async def test_an_address_of_the_domain_is_a_name_too(keys: Path) -> None:
    ours = issuer(keys, claim="email")
    assert (await ours.check("one.org", "", token(email="alice@ONE.org"))).localpart == "alice"


async def test_keys_are_read_again_for_a_new_one_but_not_by_invented_ones(keys: Path) -> None:
    clock = [1000.0]
    auth = load({"type": "oidc", "issuer": ISSUER, "jwks": str(keys)})
    assert isinstance(auth, Oidc)
    ours = Issuer(auth, lambda: clock[0] + time.time())
    assert (await ours.check("one.org", "", token(exp=int(time.time()) + 9000))).localpart == "alice"
    published(keys, LATER)
    late = token(LATER, exp=int(time.time()) + 9000)
    assert await ours.check("one.org", "", late) == Answer()  # read a moment ago
    clock[0] += UNKNOWN_SECONDS + 1
    assert (await ours.check("one.org", "", late)).localpart == "alice"
    # The former key was taken back, and with it what it has signed.
    assert await ours.check("one.org", "", token(exp=int(time.time()) + 9000)) == Answer()


async def test_keys_that_cannot_be_read_are_believed_for_a_while(keys: Path) -> None:
    clock = [0.0]
    auth = load({"type": "oidc", "issuer": ISSUER, "jwks": str(keys), "jwks_seconds": 100})
    assert isinstance(auth, Oidc)
    ours = Issuer(auth, lambda: clock[0] + time.time())
    good = token(exp=int(time.time()) + 9000)
    assert (await ours.check("one.org", "", good)).localpart == "alice"
    await trio.Path(keys).unlink()
    clock[0] = 350.0
    assert (await ours.check("one.org", "", good)).localpart == "alice"
    clock[0] = 460.0
    with pytest.raises(AwayError):
        await ours.check("one.org", "", good)


@pytest.mark.parametrize(
    ("type", "words", "problem"),
    [
        ("oidc", ["issuer=login"], "is a URL"),
        ("oidc", ["issuer=https://x", "algorithms=HS256"], "public keys"),
        ("oidc", ["issuer=https://x", "algorithms=none"], "public keys"),
        ("oidc", ["issuer=https://x", "jwks=http://"], "no URL"),
        ("oidc", ["issuer=https://x", "secret=1"], "NAME=VALUE"),
        ("oidc", [], "issuer"),
        ("http", ["url=https://x", "timeout_seconds=soon"], "timeout_seconds"),
        ("http", ["url=https://x", "timeout_seconds=600"], "timeout_seconds"),
        ("http", ["url=https://u:p@x"], "no URL"),
        ("http", ["url=https://x", "method=PUT"], "method"),
        ("ldap", ["url=ldap://x", "base=dc=x"], "in the clear"),
        ("ldap", ["url=ldaps://x"], "base of a search"),
        ("ldap", ["url=ldaps://x", "dn=uid=alice,dc=x"], "{user}"),
        ("ldap", ["url=http://x", "base=dc=x"], "no URL"),
        ("pam", [], "none of internal"),
    ],
)
def test_settings_that_are_refused(type: str, words: list[str], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        settings.from_words(type, words)


def test_settings_as_words_and_as_a_row() -> None:
    said = settings.from_words(
        "oidc", ["issuer=https://x", "audiences=a, b", "plain=true", "jwks_seconds=60"]
    )
    assert said == {
        "type": "oidc",
        "issuer": "https://x",
        "audiences": ["a", "b"],
        "plain": True,
        "jwks_seconds": 60.0,
    }
    assert settings.described(said) == "oidc issuer=https://x audiences=a,b plain=true jwks_seconds=60.0"
    assert isinstance(load(settings.from_words("ldap", ["url=ldaps://x", "dn=uid={user},dc=x"])), Ldap)


def test_what_is_offered() -> None:
    assert settings.mechanisms({}) == ()
    assert settings.mechanisms({"auth": {"type": "oidc", "issuer": "https://x"}}) == ("OAUTHBEARER",)
    assert settings.mechanisms('{"auth": {"type": "http", "url": "https://x"}}') == ("PLAIN",)
    # What cannot be read lets nobody in by passwords that are kept here.
    for broken in ({"type": "other"}, {}, "x", 7):
        assert settings.mechanisms({"auth": broken}) == ("PLAIN",)


def test_the_breaker_opens_tries_and_closes() -> None:
    breaker = Breaker()
    for number in range(FAILURES):
        assert breaker.allows(0.0)
        assert breaker.failed(0.0, 0.5) == (number == FAILURES - 1)
    assert not breaker.allows(FIRST_PAUSE * 0.9)
    assert breaker.allows(FIRST_PAUSE * 1.1)
    assert not breaker.allows(FIRST_PAUSE * 1.1)  # one tries
    breaker.given_up()
    assert breaker.allows(FIRST_PAUSE * 1.1)
    breaker.failed(10.0, 0.5)
    assert not breaker.allows(10.0 + 1.9 * FIRST_PAUSE)
    for _ in range(10):
        breaker.failed(20.0, 1.0)
    assert breaker.allows(20.0 + 1.3 * LONGEST_PAUSE)
    breaker.succeeded()
    assert breaker.allows(0.0)
    assert not breaker.open
