"""Keys of passwords, and keys for users who do not exist."""

from __future__ import annotations

import pytest

from rookery.shared.xmpp.sasl.keys import HASHES, verify_plain
from rookery.workers.account.credentials import MAX_PASSWORD, SALT_BYTES, base_mechanism, derive, invented


def test_keys_are_made_for_each_mechanism_under_its_own_salt() -> None:
    keys = derive("secret", ["SCRAM-SHA-256", "SCRAM-SHA-1"], 4096)
    assert [(one.mechanism, one.iterations, len(one.salt)) for one in keys] == [
        ("SCRAM-SHA-256", 4096, SALT_BYTES),
        ("SCRAM-SHA-1", 4096, SALT_BYTES),
    ]
    assert keys[0].salt != keys[1].salt
    assert derive("secret", ["SCRAM-SHA-1"], 4096)[0].stored_key != keys[1].stored_key


@pytest.mark.parametrize("password", ["", "x" * (MAX_PASSWORD + 1), "a\0b"])
def test_a_password_that_cannot_be_used(password: str) -> None:
    with pytest.raises(ValueError):
        derive(password, ["SCRAM-SHA-1"], 4096)


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-1"])
def test_invented_keys_look_like_real_ones_and_stay(mechanism: str) -> None:
    real = derive("secret", [mechanism], 4096)[0]
    fake = invented("ghost@example.org", mechanism, 4096, b"cluster secret")
    assert fake == invented("ghost@example.org", mechanism, 4096, b"cluster secret")
    assert (len(fake.salt), fake.iterations) == (len(real.salt), real.iterations)
    assert (len(fake.stored_key), len(fake.server_key)) == (len(real.stored_key), len(real.server_key))
    assert not fake.exists
    assert not verify_plain("secret", fake)


def test_invented_keys_differ_by_user_mechanism_and_secret() -> None:
    salts = {
        invented(user, mechanism, 4096, secret).salt
        for user in ("a@x", "b@x")
        for mechanism in HASHES
        for secret in (b"one", b"two")
    }
    assert len(salts) == 2 * len(HASHES) * 2


@pytest.mark.parametrize(
    ("mechanism", "base"),
    [("SCRAM-SHA-1-PLUS", "SCRAM-SHA-1"), ("SCRAM-SHA-256", "SCRAM-SHA-256"), ("PLAIN", "SCRAM-SHA-256")],
)
def test_whose_keys_a_mechanism_needs(mechanism: str, base: str) -> None:
    assert base_mechanism(mechanism, ("SCRAM-SHA-256", "SCRAM-SHA-1")) == base


def test_made_up_iterations_are_spread_like_real_ones() -> None:
    counts = {4096: 300, 10_000: 700}
    made = [invented(f"u{n}@x", "SCRAM-SHA-256", 10_000, b"secret", counts).iterations for n in range(2000)]
    assert set(made) == {4096, 10_000}
    assert 500 < made.count(4096) < 700
    later = {4096: 301, 10_000: 705}
    again = [invented(f"u{n}@x", "SCRAM-SHA-256", 10_000, b"secret", later).iterations for n in range(2000)]
    assert sum(a != b for a, b in zip(made, again, strict=True)) < 20
    assert invented("u@x", "SCRAM-SHA-256", 10_000, b"secret", {}).iterations == 10_000
