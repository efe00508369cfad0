"""Tokens that log a client in (XEP-0484): how one is made, what is kept of it, and whether a proof is good. Pure.

Kept of a token without channel binding are the hash of its proof, which is the same every time, and the server's answer: whoever
reads them cannot log in. A proof that is bound to a channel is another each time, and checking it takes the token itself: that is kept
sealed (AES-GCM), with a key of the secret that the workers share and of `fast.sealing_key`.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from rookery.shared.bus.messages import Redeem
from rookery.shared.xmpp.sasl import ht

#: The shared secret behind the seal.
PURPOSE: Final = "login-tokens"
_NONCE: Final = 12


class Kept(NamedTuple):
    """A token at rest. `live`: it has not expired; `due`: its client gets the next one."""

    serial: int
    mechanism: str
    verifier: bytes
    salt: bytes
    used: bool
    counter: int
    live: bool
    due: bool


class Verdict(NamedTuple):
    """What a proof came to: `failed` is the SASL condition, "" when it is good; then `kept` is the token, and `proof` the server's answer."""

    failed: str = ""
    kept: Kept | None = None
    proof: bytes = b""


class Seal:
    """Makes and checks what is kept. `shared` are the secrets of the cluster, newest first; `extra` is the operator's own."""

    def __init__(self, shared: Sequence[bytes], extra: str = "") -> None:
        self._boxes = [
            AESGCM(hmac.digest(one, b"login-token\0" + extra.encode(), "sha256")) for one in shared
        ]

    def verifier(self, token: str, mechanism: str, owner: bytes) -> bytes:
        """What is kept of a fresh token; `owner` names the account and the client that it is for."""
        key = token.encode()
        if not ht.BINDINGS[mechanism]:
            return hashlib.sha256(ht.initiator(key)).digest() + ht.responder(key)
        nonce = secrets.token_bytes(_NONCE)
        return nonce + self._boxes[0].encrypt(nonce, key, owner + mechanism.encode())

    def check(self, kept: Kept, request: Redeem, owner: bytes) -> bytes:
        """The server's answer when the proof is that of this token, else b"". Takes the same time for any proof."""
        if kept.mechanism != request.mechanism:
            return b""  # bound to the mechanism that it was made for (section 3.4)
        if not ht.BINDINGS[kept.mechanism]:
            digest, answer = kept.verifier[: ht.SIZE], kept.verifier[ht.SIZE :]
            return answer if hmac.compare_digest(hashlib.sha256(request.proof).digest(), digest) else b""
        key = self._opened(kept, owner)
        right = hmac.compare_digest(ht.initiator(key, request.binding), request.proof)
        return ht.responder(key, request.binding) if right and key and request.binding else b""

    def _opened(self, kept: Kept, owner: bytes) -> bytes:
        nonce, sealed = kept.verifier[:_NONCE], kept.verifier[_NONCE:]
        for box in self._boxes:
            try:
                return box.decrypt(nonce, sealed, owner + kept.mechanism.encode())
            except InvalidTag:
                continue
        return b""


def owner(account: str, agent: str) -> bytes:
    """Whose a token is, as the seal is told."""
    return f"{account}\0{agent}\0".encode()


def fresh() -> str:
    """A token that nobody can guess."""
    return secrets.token_urlsafe(32)


def judge(seal: Seal, tokens: Sequence[Kept], request: Redeem) -> Verdict:
    """Whether one of a client's tokens is proved.

    What is no token (any more) of this client says `credentials-expired`: its client forgets it and takes another mechanism (section
    4.2). A count that has been there is a replay (section 3.4).
    """
    whose = owner(request.account, request.agent)
    answers = [(kept, seal.check(kept, request, whose)) for kept in tokens]
    found = next(((kept, answer) for kept, answer in answers if answer), None)
    if found is None or not found[0].live:
        return Verdict("credentials-expired")
    kept, answer = found
    if 0 <= request.counter <= kept.counter:
        return Verdict("not-authorized")
    return Verdict("", kept, answer)
