"""SASL EXTERNAL with a client's certificate (RFC 4422 appendix A, XEP-0178 section 2). Pure: the chain was verified by TLS."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cryptography import x509

from rookery.shared.xmpp.der import XMPP_ADDR, string
from rookery.shared.xmpp.errors import JidError
from rookery.shared.xmpp.jid import Jid
from rookery.shared.xmpp.sasl.common import MAX_VALUE, SaslFailure, decode_utf8


def addresses(certificate: bytes) -> tuple[str, ...]:
    """The bare JIDs of users that a certificate (DER) is for, by `id-on-xmppAddr`; what is no such address is left out."""
    try:
        leaf = x509.load_der_x509_certificate(certificate)
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        found = [
            string(other.value)
            for other in names.get_values_for_type(x509.OtherName)
            if other.type_id.dotted_string == XMPP_ADDR
        ]
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return ()
    return tuple(dict.fromkeys(bare for bare in map(_user, found) if bare))


def _user(text: str) -> str:
    try:
        jid = Jid.parse(text)
    except JidError:
        return ""
    return jid.bare if jid.local is not None and jid.resource is None else ""


def parse(message: bytes, known: Sequence[str], domain: str, hosted: Callable[[str], bool]) -> str:
    """Whom a client with a certificate for `known` becomes on a stream to `domain`: a bare JID of that domain.

    `hosted` says whether a domain is one of ours. The message is an authorization identity, empty when there is none. Raises SaslFailure:
    malformed-request, invalid-authzid for one that the certificate does not have and for none where it has several, not-authorized.
    """
    if len(message) > 3 * MAX_VALUE + 2:
        raise SaslFailure("malformed-request")
    authzid = decode_utf8(message)
    if "\0" in authzid:
        raise SaslFailure("malformed-request")
    ours = [one for one in known if hosted(one.rpartition("@")[2])]
    if authzid:
        wanted = _user(authzid)
        if wanted not in ours or wanted.rpartition("@")[2] != domain:
            raise SaslFailure("invalid-authzid")
        return wanted
    if len(ours) > 1:
        raise SaslFailure("invalid-authzid", "say which of the addresses of the certificate")
    if not ours or ours[0].rpartition("@")[2] != domain:
        raise SaslFailure("not-authorized")
    return ours[0]
