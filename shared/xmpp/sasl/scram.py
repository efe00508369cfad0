"""SCRAM, server side (RFC 5802, RFC 7677), as a machine in two phases around the look-up of the credentials.

The `scramp` package does the client side in tests and SASLprep; its server cannot take an authorization identity, prepares user
names by SASLprep instead of RFC 7622, and lets a mechanism without -PLUS bind a channel, so the exchange is done here.
An unknown user runs the whole exchange with fake credentials and fails in its last step, like a wrong password.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import b64encode
from collections.abc import Mapping
from enum import Enum
from typing import Final

from rookery.shared.xmpp.sasl.common import (
    MAX_VALUE,
    SaslFailure,
    account_of,
    check_authzid,
    decode_base64,
    decode_utf8,
)
from rookery.shared.xmpp.sasl.keys import HASHES, ScramKeys

#: gs2-header: channel binding flag, authorization identity (RFC 5802 section 7).
_GS2: Final = re.compile(r"(?:(n|y)|p=([A-Za-z0-9.\-]{1,64})),(?:a=([^,]+))?,")
_SASLNAME: Final = re.compile(r"(?:[^\0=,]|=2C|=3D)+\Z")
_NONCE: Final = re.compile(r"[!-+\--~]{1,1023}\Z")
_EXTENSION: Final = re.compile(r"[A-Za-z]=[^\0,]+\Z")


class _Step(Enum):
    FIRST = 1
    CREDENTIALS = 2
    FINAL = 3
    DONE = 4


def base_mechanism(mechanism: str) -> str:
    """The name under which credentials are stored: without -PLUS."""
    return mechanism.removesuffix("-PLUS")


class ScramServer:
    """One exchange: `first` tells whose credentials are needed, `challenge` takes them, `final` ends it.

    `nonce` is fresh and unpredictable printable ASCII without a comma. `bindings` are the channel bindings that this
    stream has by name (empty without TLS): whoever passes any has offered the -PLUS mechanisms too. `advertised` is what
    was offered (`sasl.downgrade`), b"" not to sign it. Methods raise SaslFailure, after which the machine is of no more use.
    """

    __slots__ = (
        "_advertised",
        "_bare",
        "_bindings",
        "_challenge",
        "_domain",
        "_gs2",
        "_hash",
        "_keys",
        "_nonce",
        "_plus",
        "_step",
        "account",
    )

    def __init__(
        self,
        mechanism: str,
        *,
        domain: str,
        nonce: str,
        bindings: Mapping[str, bytes] | None = None,
        advertised: bytes = b"",
    ) -> None:
        self._hash = HASHES[base_mechanism(mechanism)]
        self._plus = mechanism.endswith("-PLUS")
        self._domain = domain
        self._nonce = nonce
        self._bindings = bindings or {}
        self._advertised = advertised
        self._step = _Step.FIRST
        self._bare = ""
        self._gs2 = b""
        self._challenge = ""
        self._keys: ScramKeys | None = None
        #: The prepared bare JID that logs in, once `first` has returned.
        self.account = ""

    def _enter(self, step: _Step, following: _Step) -> None:
        if self._step is not step:
            raise SaslFailure("malformed-request", "out of order")
        self._step = following

    def first(self, message: bytes) -> str:
        """Read the client's first message; return the prepared bare JID whose credentials are needed."""
        self._enter(_Step.FIRST, _Step.CREDENTIALS)
        text = decode_utf8(message)
        header = _GS2.match(text)
        if header is None:
            raise SaslFailure("malformed-request")
        self._gs2 = header[0].encode() + self._bind(header[1] or "p", header[2] or "")
        self._bare = text[header.end() :]
        # A reserved "m=" in front is a mandatory extension that we do not know: it fails here (RFC 5802 section 5.1).
        parts = self._bare.split(",")
        if len(parts) < 2 or parts[0][:2] != "n=" or parts[1][:2] != "r=":
            raise SaslFailure("malformed-request")
        name, nonce = parts[0][2:], parts[1][2:]
        if not _SASLNAME.match(name) or not _NONCE.match(nonce) or not all(map(_EXTENSION.match, parts[2:])):
            raise SaslFailure("malformed-request")
        self._nonce = nonce + self._nonce
        self.account = account_of(_unescape(name), self._domain)
        if header[3] is not None:
            if not _SASLNAME.match(header[3]):
                raise SaslFailure("malformed-request")
            check_authzid(_unescape(header[3]), self.account)
        return self.account

    def _bind(self, flag: str, name: str) -> bytes:
        """Check the channel binding flag (RFC 5802 section 6) and return the channel's data."""
        if self._plus != (flag == "p"):
            raise SaslFailure("malformed-request", "the channel binding flag does not fit the mechanism")
        if flag == "y" and self._bindings:
            # The client supports channel binding and believes that we do not: somebody removed it from our list.
            raise SaslFailure("not-authorized", "channel binding is offered here")
        if flag != "p":
            return b""
        data = self._bindings.get(name)
        if data is None:
            raise SaslFailure("malformed-request", "that channel binding is not offered")
        return data

    def challenge(self, keys: ScramKeys) -> bytes:
        """The server's first message, once the credentials of `account` are there."""
        self._enter(_Step.CREDENTIALS, _Step.FINAL)
        self._keys = keys
        self._challenge = f"r={self._nonce},s={b64encode(keys.salt).decode()},i={keys.iterations}"
        if self._advertised:
            # (XEP-0474 section 5.1; the client's proof is of it, too)
            self._challenge += f",h={b64encode(hashlib.new(self._hash, self._advertised).digest()).decode()}"
        return self._challenge.encode()

    def final(self, message: bytes) -> bytes:
        """Check the client's proof; return the server's last message, which goes with `<success/>`."""
        self._enter(_Step.FINAL, _Step.DONE)
        keys = self._keys
        assert keys is not None
        text = decode_utf8(message)
        without_proof, separator, proof = text.rpartition(",p=")
        parts = without_proof.split(",")
        if not separator or len(parts) < 2 or parts[0][:2] != "c=" or parts[1][:2] != "r=":
            raise SaslFailure("malformed-request")
        # "m=" is a mandatory extension wherever it stands.
        if not all(_EXTENSION.match(part) and part[0] != "m" for part in parts[2:]):
            raise SaslFailure("malformed-request")
        channel, sent = _inner_base64(parts[0][2:]), _inner_base64(proof)
        size = hashlib.new(self._hash).digest_size
        if len(sent) != size:
            raise SaslFailure("malformed-request")
        signed = f"{self._bare},{self._challenge},{without_proof}".encode()
        signature = hmac.digest(keys.stored_key, signed, self._hash)
        client_key = (int.from_bytes(sent, "big") ^ int.from_bytes(signature, "big")).to_bytes(size, "big")
        proved = hmac.compare_digest(hashlib.new(self._hash, client_key).digest(), keys.stored_key)
        bound = hmac.compare_digest(channel, self._gs2)
        fresh = hmac.compare_digest(parts[1][2:].encode(), self._nonce.encode())
        if not (proved & bound & fresh & keys.exists):
            raise SaslFailure("not-authorized")
        return b"v=" + b64encode(hmac.digest(keys.server_key, signed, self._hash))


def _unescape(name: str) -> str:
    if len(name) > 3 * MAX_VALUE:
        raise SaslFailure("malformed-request")
    return name.replace("=2C", ",").replace("=3D", "=")


def _inner_base64(text: str) -> bytes:
    """Base64 inside a message: wrong encoding is a malformed message, not a wrong encoding of the XML element."""
    if text in {"", "="}:
        raise SaslFailure("malformed-request")
    try:
        return decode_base64(text)
    except SaslFailure:
        raise SaslFailure("malformed-request") from None
