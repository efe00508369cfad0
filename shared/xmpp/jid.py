"""JIDs: parse, prepare and compare addresses (RFC 7622).

A `Jid` is immutable and already prepared (PRECIS UsernameCaseMapped / OpaqueString, IDNA domain), so equality is
string equality. `Jid.parse` is cached: a hot address costs one dictionary lookup. Long addresses are not cached, so
that a hostile peer cannot fill the memory with them.

Unicode tables come from the interpreter and from the `idna` package: all processes of a cluster should run the same ones.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv6Address

import idna
from precis_i18n import get_profile

from rookery.shared.xmpp.errors import JidError

_LOCAL = get_profile("UsernameCaseMapped")
_RESOURCE = get_profile("OpaqueString")
#: RFC 7622 section 3.3.1: characters that a localpart excludes beyond the PRECIS class.
_LOCAL_FORBIDDEN = frozenset("\"&'/:<>@")
_ASCII_LOCAL = re.compile(r"[a-z0-9!#$%()*+,\-.;=?\[\\\]^_`{|}~]+\Z")
_ASCII_DOMAIN = re.compile(
    r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*\Z"
)
_ASCII_RESOURCE = re.compile(r"[ -~]+\Z")
#: RFC 7622 section 3.1: each part is at most 1023 octets in UTF-8.
MAX_PART = 1023
#: Cached addresses of each kind, and the longest one (characters) that is cached: some ten megabytes when full of hostile ones.
_CACHED = 16384
_CACHED_LENGTH = 256


class Jid:
    """One prepared address: `local` and `resource` are None when absent; `bare` and `full` are its string forms."""

    __slots__ = ("bare", "domain", "full", "local", "resource")

    def __init__(self, local: str | None, domain: str, resource: str | None) -> None:
        self.local = local
        self.domain = domain
        self.resource = resource
        self.bare = domain if local is None else f"{local}@{domain}"
        self.full = self.bare if resource is None else f"{self.bare}/{resource}"

    @staticmethod
    def parse(text: str) -> Jid:
        """Parse and prepare `text`. Raises JidError."""
        return _cached_parse(text) if len(text) <= _CACHED_LENGTH else _parse(text)

    @staticmethod
    def trusted(text: str) -> Jid:
        """Split a string that this server prepared before (it came over the bus or from the database)."""
        return _cached_split(text) if len(text) <= _CACHED_LENGTH else _split_trusted(text)

    def __str__(self) -> str:
        return self.full

    def __repr__(self) -> str:
        return f"Jid({self.full!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Jid) and other.full == self.full

    def __hash__(self) -> int:
        return hash(self.full)


def _limit(part: str, name: str) -> str:
    if not part or len(part.encode()) > MAX_PART:
        raise JidError(f"{name} must have 1 to {MAX_PART} octets")
    return part


def prepare_local(text: str) -> str:
    """Prepare a localpart (RFC 7622 section 3.3). Raises JidError."""
    if _ASCII_LOCAL.match(text):
        return _limit(text, "localpart")
    if len(text) > MAX_PART:
        raise JidError("localpart is too long")
    try:
        prepared = str(_LOCAL.enforce(text))
    except UnicodeError as exc:
        raise JidError("localpart is not a valid username") from exc
    if not _LOCAL_FORBIDDEN.isdisjoint(prepared):
        raise JidError("localpart has a forbidden character")
    return _limit(prepared, "localpart")


def prepare_domain(text: str) -> str:
    """Prepare a domainpart: an FQDN, an IPv4 or a bracketed IPv6 address (RFC 7622 section 3.2). Raises JidError."""
    if len(text) > MAX_PART:
        raise JidError("domainpart is too long")
    lower = text.lower().removesuffix(".")
    if _ASCII_DOMAIN.match(lower) and "xn--" not in lower:
        return lower
    if text.startswith("[") and text.endswith("]"):
        return _prepare_ipv6(text[1:-1])
    return _prepare_idna(text)


def _prepare_ipv6(text: str) -> str:
    try:
        # A zone identifier has no meaning for a peer, and may hold any character.
        if "%" not in text:
            return f"[{IPv6Address(text).compressed}]"
    except ValueError:
        pass
    raise JidError("domainpart is not an IPv6 address")


@lru_cache(maxsize=4096)
def _prepare_idna(text: str) -> str:
    try:
        # The mapping knows other full stops than ".", so the trailing one is taken off after it.
        mapped = idna.uts46_remap(text).removesuffix(".")
        if mapped.endswith("."):
            raise JidError("domainpart has an empty label")
        prepared = idna.decode(idna.encode(mapped))
    except (idna.IDNAError, UnicodeError) as exc:
        raise JidError("domainpart is not a valid domain name") from exc
    return _limit(prepared, "domainpart")


def prepare_resource(text: str) -> str:
    """Prepare a resourcepart (RFC 7622 section 3.4). Raises JidError."""
    if _ASCII_RESOURCE.match(text):
        return _limit(text, "resourcepart")
    if len(text) > MAX_PART:
        raise JidError("resourcepart is too long")
    try:
        return _limit(str(_RESOURCE.enforce(text)), "resourcepart")
    except UnicodeError as exc:
        raise JidError("resourcepart has a forbidden character") from exc


def conform_resource(text: str) -> str:
    """Bring what a client asks for into conformance with the rules for resourceparts (RFC 6120 section 7.7.2.1).

    Characters that no resourcepart may have are left out (controls, joiners between emoji), a long one is cut. "" when nothing is left: then the
    server chooses. What conforms already is only prepared.
    """
    try:
        return prepare_resource(text)
    except JidError:
        kept = "".join([each for each in text[: 4 * MAX_PART] if _allowed(each)])
    for room in (MAX_PART, MAX_PART // 2):
        # Preparation may make a part longer.
        try:
            return prepare_resource(kept.encode()[:room].decode(errors="ignore"))
        except JidError:
            continue
    return ""


@lru_cache(maxsize=4096)
def _allowed(character: str) -> bool:
    try:
        _RESOURCE.enforce(character)
    except UnicodeError:
        return False
    return True


def _parse(text: str) -> Jid:
    # RFC 7622 section 3.1: the first "/" starts the resourcepart, then the first "@" ends the localpart.
    rest, slash, resource = text.partition("/")
    local, at, domain = rest.partition("@")
    if not at:
        local, domain = "", rest
    elif not local:
        raise JidError("localpart is empty")
    if not domain:
        raise JidError("domainpart is empty")
    return Jid(
        prepare_local(local) if at else None,
        prepare_domain(domain),
        prepare_resource(resource) if slash else None,
    )


def _split_trusted(text: str) -> Jid:
    rest, slash, resource = text.partition("/")
    local, at, domain = rest.partition("@")
    return Jid(local if at else None, domain if at else rest, resource if slash else None)


_cached_parse = lru_cache(maxsize=_CACHED)(_parse)
_cached_split = lru_cache(maxsize=_CACHED)(_split_trusted)


def bare_of(full: str) -> str:
    """Return the bare JID of a prepared JID string."""
    return full.partition("/")[0]
