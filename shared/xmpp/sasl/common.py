"""What all SASL mechanisms share: failures, strict base64, identities, preparation of passwords."""

from __future__ import annotations

import re
from base64 import b64decode
from typing import Final

from precis_i18n import get_profile
from scramp.utils import ScramException, saslprep

from rookery.shared.xmpp.errors import JidError
from rookery.shared.xmpp.jid import Jid, prepare_local

#: Defined SASL failure conditions (RFC 6120 section 6.5).
SASL_CONDITIONS: Final[frozenset[str]] = frozenset(
    {
        "aborted",
        "account-disabled",
        "credentials-expired",
        "encryption-required",
        "incorrect-encoding",
        "invalid-authzid",
        "invalid-mechanism",
        "malformed-request",
        "mechanism-too-weak",
        "not-authorized",
        "temporary-auth-failure",
    }
)

#: Longest user name, password or nonce in octets; a localpart cannot be longer (RFC 7622 section 3.1).
MAX_VALUE: Final = 1023

_BASE64: Final = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?\Z")
_OPAQUE: Final = get_profile("OpaqueString")


class SaslFailure(Exception):  # noqa: N818  RFC 6120 calls it a failure
    """The exchange failed; the peer gets `<failure/>` with this condition and may try again (RFC 6120 section 6.5).

    `text` goes to the peer, so it never says whether a user exists.
    """

    def __init__(self, condition: str, text: str = "", *, app: tuple[str, str] | None = None) -> None:
        """`app` is an application-specific condition as (namespace, name) (XEP-0388 section 2.6.2)."""
        super().__init__(condition, text)
        self.app = app
        assert condition in SASL_CONDITIONS, condition
        self.condition = condition
        self.text = text


def decode_base64(text: str) -> bytes:
    """Decode what `<auth/>` or `<response/>` carries; "=" is an empty message (RFC 6120 section 6.4.2).

    Strict: no white space, no missing padding, no other alphabet. Raises SaslFailure(incorrect-encoding).
    """
    if text == "=":
        return b""
    if not _BASE64.match(text):
        raise SaslFailure("incorrect-encoding")
    return b64decode(text)


def decode_utf8(message: bytes) -> str:
    """Decode a message. Raises SaslFailure(malformed-request)."""
    try:
        return message.decode()
    except UnicodeDecodeError:
        raise SaslFailure("malformed-request", "a message is in UTF-8") from None


def account_of(username: str, domain: str) -> str:
    """The prepared bare JID of a user name at a prepared domain. Raises SaslFailure(not-authorized)."""
    try:
        return f"{prepare_local(username)}@{domain}"
    except JidError:
        # Such a user cannot exist; the answer is the same as for a wrong password.
        raise SaslFailure("not-authorized") from None


def check_authzid(authzid: str, account: str) -> None:
    """An authorization identity is absent or the account itself (RFC 6120 section 6.3.8).

    Raises SaslFailure(invalid-authzid): nobody may act for somebody else.
    """
    if not authzid:
        return
    try:
        if Jid.parse(authzid).full == account:
            return
    except JidError:
        pass
    raise SaslFailure("invalid-authzid")


def prepare_password(password: str) -> str:
    """Prepare a password: SASLprep (RFC 4013, which RFC 5802 demands), else OpaqueString (RFC 8265 section 4.2).

    SASLprep refuses what Unicode 3.2 did not know yet, such as emoji. Raises ValueError for an empty or forbidden password.
    """
    if not password or len(password.encode("utf-8", "surrogatepass")) > MAX_VALUE:
        raise ValueError(f"a password has 1 to {MAX_VALUE} octets")
    if password.isascii() and password.isprintable():
        return password
    try:
        prepared = str(saslprep(password))
    except ScramException:
        try:
            prepared = str(_OPAQUE.enforce(password))
        except UnicodeError:
            raise ValueError("the password has a forbidden character") from None
    if not prepared:
        raise ValueError("the password is empty once prepared")
    return prepared
