"""What an operator says about who may log in to a domain: the policy `auth` of its row. Absent: the passwords that are kept here.

Secrets are named by files, which every account worker can read, never written into the row.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

OAUTHBEARER: Final = "OAUTHBEARER"
PLAIN: Final = "PLAIN"
ANONYMOUS: Final = "ANONYMOUS"
_Seconds = Annotated[float, Meta(gt=0, le=60)]
_URL: Final = re.compile(r"https?://[^\s/?#@]+(?:[/?][^\s#]*)?\Z")
_LDAP_URL: Final = re.compile(r"ldaps?://[^\s/?#@]+\Z")


class BackEnd(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all back ends have.

    * `timeout_seconds`: one question; then the back end counts as away.
    * `at_once`: questions of one worker process at the same time; as many again wait.
    * `make_accounts`: somebody who logs in for the first time gets an account; else it has to be made before.
    * `cache_seconds`: a password that was right is believed so long without asking again; 0 for never.
    * `token_hours`: for so long a client may come back with a token (XEP-0484) without asking the back end; 0 for never.
    """

    timeout_seconds: _Seconds = 5.0
    at_once: Annotated[int, Meta(ge=1, le=1000)] = 32
    make_accounts: bool = True
    cache_seconds: Annotated[float, Meta(ge=0, le=3600)] = 0.0
    token_hours: Annotated[float, Meta(ge=0, le=24 * 365)] = 24.0

    @property
    def mechanisms(self) -> tuple[str, ...]:
        """What clients of the domain are offered, best first."""
        return (PLAIN,)


class Oidc(BackEnd, frozen=True, kw_only=True, tag="oidc", tag_field="type"):
    """Access tokens (JWT, RFC 9068) of an OpenID Connect issuer; they are checked here, with the keys that it publishes.

    * `issuer`: as its tokens say it; `jwks`: where its keys are, a URL or a file; empty: as the issuer's metadata says.
    * `audiences`: a token is for one of these (empty: for anybody); `scope`: what a token must have, if anything.
    * `claim`: what names the localpart; a whole address of the domain is one, too.
    * `plain`: clients may also send a token as the password of PLAIN.
    * `jwks_seconds`: keys are read again after this, and when a token names one that is not known.
    """

    issuer: Annotated[str, Meta(min_length=1)]
    audiences: tuple[str, ...] = ()
    scope: str = ""
    claim: str = "preferred_username"
    algorithms: tuple[str, ...] = ("RS256", "ES256", "PS256", "EdDSA")
    jwks: str = ""
    jwks_seconds: Annotated[float, Meta(ge=1)] = 3600.0
    leeway_seconds: Annotated[int, Meta(ge=0, le=300)] = 30
    plain: bool = False
    ca_file: str = ""

    @property
    def mechanisms(self) -> tuple[str, ...]:
        """OAUTHBEARER (RFC 7628), and PLAIN where that is wanted."""
        return (OAUTHBEARER, PLAIN) if self.plain else (OAUTHBEARER,)


class Http(BackEnd, frozen=True, kw_only=True, tag="http", tag_field="type"):
    """A service over HTTP: `URL/check_password` and `URL/user_exists` with `user`, `server` and `pass`, which answer `true` or `false`.

    * `method`: POST sends a form; GET puts the password into the query, where it may be logged.
    * `authorization_file`: has the value of the header Authorization.
    """

    url: Annotated[str, Meta(min_length=1)]
    method: Annotated[str, Meta(pattern="^(GET|POST)$")] = "POST"
    authorization_file: str = ""
    ca_file: str = ""


class Ldap(BackEnd, frozen=True, kw_only=True, tag="ldap", tag_field="type"):
    """A directory: a password is right when its user can bind with it.

    * `dn`: the user's name, with {user} and {domain}; or, when it is empty, what a search finds: one entry below `base` by `filter`, with
      the rights of `bind_dn` and the password in `bind_password_file`, or anonymously.
    * `starttls`: for ldap://. Without TLS passwords go in the clear, which `plaintext` allows.
    """

    url: Annotated[str, Meta(min_length=1)]
    dn: str = ""
    base: str = ""
    filter: str = "(uid={user})"
    bind_dn: str = ""
    bind_password_file: str = ""
    starttls: bool = False
    plaintext: bool = False
    ca_file: str = ""


class Anonymous(BackEnd, frozen=True, kw_only=True, tag="anonymous", tag_field="type"):
    """Guests: whoever comes gets an account of its own, which ends with its session (XEP-0175).

    * `guests`: accounts of the domain at the same time.
    * `per_hour`: guests from one address, counted by each worker process.
    * `upload`: whether they may store files.
    """

    guests: Annotated[int, Meta(ge=1)] = 1000
    per_hour: Annotated[int, Meta(ge=1)] = 60
    upload: bool = False

    @property
    def mechanisms(self) -> tuple[str, ...]:
        """Nobody has a password."""
        return (ANONYMOUS,)


Auth = Oidc | Http | Ldap | Anonymous
#: What the command line calls them, and what each is.
TYPES: Final[Mapping[str, type[Auth]]] = {
    "oidc": Oidc,
    "http": Http,
    "ldap": Ldap,
    "anonymous": Anonymous,
}
INTERNAL: Final = "internal"
#: What is a number or a list in a setting that came as text.
_LISTS: Final = frozenset({"audiences", "algorithms"})
_SYMMETRIC: Final = re.compile("HS|none", re.IGNORECASE)


def load(said: Mapping[str, Any]) -> Auth:
    """The settings of a back end. Raises ValueError with what is wrong, in words."""
    try:
        auth: Auth = msgspec.convert(dict(said), Auth)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
    if problem := _problem(auth):
        raise ValueError(problem)
    return auth


def _problem(auth: Auth) -> str:
    if isinstance(auth, Oidc):
        if any(_SYMMETRIC.match(name) for name in auth.algorithms) or not auth.algorithms:
            return "algorithms are those of public keys, as RS256"
        if auth.jwks.startswith("http") and not _URL.match(auth.jwks):
            return f"{auth.jwks!r} is no URL"
        return "" if auth.jwks or _URL.match(auth.issuer) else "without jwks the issuer is a URL"
    if isinstance(auth, Anonymous):
        return ""
    if isinstance(auth, Http):
        return "" if _URL.match(auth.url) else f"{auth.url!r} is no URL"
    if not _LDAP_URL.match(auth.url):
        return f"{auth.url!r} is no URL of a directory: write it as ldaps://ldap.example.org"
    if not (auth.dn or auth.base):
        return "say the dn of users, or the base of a search"
    if "{user}" not in (auth.dn or auth.filter):
        return "the dn, or the filter, names the user by {user}"
    if auth.url.startswith("ldap:") and not (auth.starttls or auth.plaintext):
        return "passwords would go in the clear: use ldaps://, starttls or plaintext"
    return ""


def from_words(type: str, words: Iterable[str]) -> dict[str, Any]:
    """What `NAME=VALUE` words say, as the row keeps it. Raises ValueError."""
    if type not in TYPES:
        raise ValueError(f"{type!r} is none of {INTERNAL}, {', '.join(TYPES)}")
    fields = {field.name: field for field in msgspec.structs.fields(TYPES[type])}
    said: dict[str, Any] = {"type": type}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or name not in fields:
            raise ValueError(f"{word!r}: write NAME=VALUE, with one of {', '.join(sorted(fields))}")
        said[name] = _value(name, value, fields[name].type)
    load(said)
    return said


def _value(name: str, text: str, type: Any) -> Any:
    if name in _LISTS:
        return [one.strip() for one in text.split(",") if one.strip()]
    try:
        return msgspec.convert(text, type, strict=False)
    except msgspec.ValidationError as error:
        raise ValueError(f"{name}: {error}") from None


def mechanisms(policy: object) -> tuple[str, ...]:
    """What the policy of a domain offers its clients; () for the passwords that are kept here.

    A row that cannot be read offers nothing but PLAIN, which then fails: rather nobody gets in than anybody.
    """
    said = stored(policy)
    if said is None:
        return ()
    try:
        return load(said).mechanisms
    except ValueError:
        return (PLAIN,)


def stored(policy: object) -> Mapping[str, Any] | None:
    """The `auth` of a domain's policy, None when it has none."""
    found = json.loads(policy) if isinstance(policy, str) else policy
    said = found.get("auth") if isinstance(found, dict) else None
    return None if said is None else said if isinstance(said, dict) else {}


def described(said: Mapping[str, Any]) -> str:
    """For people: `oidc issuer=https://...`."""
    parts = [f"{name}={_text(value)}" for name, value in said.items() if name != "type"]
    return " ".join([str(said.get("type", "?")), *parts])


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return (
        ",".join(map(str, value))
        if isinstance(value, Sequence) and not isinstance(value, str)
        else str(value)
    )
