"""Secrets of components: the proof of XEP-0114, and how they are kept."""

from __future__ import annotations

from rookery.workers.component import secret


def test_the_proof_is_the_digest_of_stream_and_secret() -> None:
    """XEP-0114 section 3: SHA-1 of the stream's id and the secret, in lower-case hexadecimal."""
    shown = secret.proof("3BF96D32", "test")
    assert shown == "aaee83c26aeeafcbabeabfcbcd50df997e0a2a1e"
    assert secret.proves(shown, "3BF96D32", "test")
    assert not secret.proves(shown, "3BF96D33", "test")
    assert not secret.proves("", "3BF96D32", "test")
    assert not secret.proves("ä" * 40, "3BF96D32", "test")


def test_what_is_kept_is_encrypted_for_its_domain() -> None:
    old, new = b"o" * 32, b"n" * 32
    sealed = secret.seal(old, "irc.example", "hunter22")
    assert b"hunter22" not in sealed
    assert secret.unseal([new, old], "irc.example", sealed) == "hunter22"
    assert secret.unseal([new], "irc.example", sealed) is None
    assert secret.unseal([old], "other.example", sealed) is None


def test_new_secrets_differ() -> None:
    assert len({secret.fresh() for _ in range(10)}) == 10
