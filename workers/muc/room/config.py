"""The configuration of a room: every field once, with its form (`muc#roomconfig`), its default and its check. See section 10.2 and 15.5.3."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from rookery.shared.xeps.multi_user_chat import CONFIG, Options
from rookery.shared.xmpp.errors import JidError, StanzaError
from rookery.shared.xmpp.jid import Jid

_P: Final = "muc#roomconfig_"
#: Fields that no registry has.
_OURS: Final = "{urn:rookery:rooms}"


class Config(Struct, frozen=True):
    """What owners can set. New fields are added with a default: rows of former versions lack them."""

    name: str = ""
    description: str = ""
    lang: str = ""
    pubsub: str = ""
    contacts: tuple[str, ...] = ()
    public: bool = True
    persistent: bool = False
    archive: bool = True
    members_only: bool = False
    moderated: bool = False
    password_protected: bool = False
    secret: str = ""
    non_anonymous: bool = False
    change_subject: bool = False
    allow_invites: bool = False
    allow_pm: str = "anyone"
    #: 0: as many as the service allows.
    max_users: int = 0
    #: -1: as many as the service says.
    max_history: int = -1
    broadcast: tuple[str, ...] = ("moderator", "participant", "visitor")
    member_list: tuple[str, ...] = ("moderator",)
    public_occupants: bool = False
    registration: bool = True
    lock_nicks: bool = False
    voice_requests: bool = True
    slow_seconds: int = 0

    @property
    def logged(self) -> bool:
        """Whether anybody may read what is said: occupants are warned (section 7.2.12)."""
        return self.archive and not self.members_only and not self.password_protected


def initial(options: Options) -> Config:
    """What a new room is like."""
    return Config(public=options.public, persistent=options.persistent, archive=options.archive)


Read = Callable[[Sequence[str], Options], Any]


class Field(NamedTuple):
    """A field of the form: `read` makes the value of what was submitted, raising StanzaError; `options` are (value, label)."""

    var: str
    attribute: str
    type: str
    label: str
    read: Read
    options: Sequence[tuple[str, str]] = ()


def bad(what: str) -> StanzaError:
    """A value that no room can have (section 10.1.3)."""
    return StanzaError("not-acceptable", what)


def _boolean(values: Sequence[str], options: Options) -> bool:
    if len(values) == 1 and values[0].strip() in ("1", "true"):
        return True
    if len(values) == 1 and values[0].strip() in ("0", "false"):
        return False
    raise bad("a boolean is 0 or 1")


def _single(values: Sequence[str]) -> str:
    if len(values) > 1:
        raise bad("one value is expected")
    return values[0] if values else ""


def _text(most: Callable[[Options], int]) -> Read:
    def read(values: Sequence[str], options: Options) -> str:
        text = "\n".join(values)
        if len(text.encode()) > most(options):
            raise bad(f"a text has at most {most(options)} bytes")
        return text

    return read


def _number(least: int, empty: int, most: Callable[[Options], int]) -> Read:
    def read(values: Sequence[str], options: Options) -> int:
        text = _single(values).strip()
        if text in ("", "none"):
            return empty
        if not text.isascii() or not text.isdigit() or len(text) > 9 or int(text) < least:
            raise bad("a number is expected")
        return min(int(text), most(options))

    return read


def _one_of(allowed: Sequence[tuple[str, str]]) -> Read:
    def read(values: Sequence[str], options: Options) -> str:
        text = _single(values)
        if text not in dict(allowed):
            raise bad(f"one of {', '.join(value for value, _ in allowed)} is expected")
        return text

    return read


def _some_of(allowed: Sequence[tuple[str, str]]) -> Read:
    def read(values: Sequence[str], options: Options) -> tuple[str, ...]:
        known = dict(allowed)
        if not set(values) <= known.keys():
            raise bad(f"any of {', '.join(known)} is expected")
        return tuple(value for value in known if value in values)

    return read


def _whois(values: Sequence[str], options: Options) -> bool:
    if _single(values) not in ("anyone", "moderators"):
        raise bad("real JIDs are shown to moderators or to anyone")
    return values[0] == "anyone"


def jids(values: Sequence[str], most: int) -> tuple[str, ...]:
    """Bare JIDs, each once. Raises StanzaError."""
    found: dict[str, None] = {}
    for value in values:
        if not value.strip():
            continue
        try:
            found[Jid.parse(value.strip()).bare] = None
        except JidError:
            raise StanzaError("jid-malformed") from None
    if len(found) > most:
        raise bad(f"at most {most} addresses")
    return tuple(found)


_ROLES: Final = (("moderator", "Moderator"), ("participant", "Participant"), ("visitor", "Visitor"))
_PM: Final = (
    ("anyone", "Anyone"),
    ("participants", "Anyone with voice"),
    ("moderators", "Moderators only"),
    ("none", "Nobody"),
)
_WHOIS: Final = (("moderators", "Moderators only"), ("anyone", "Anyone"))
_USERS: Final = tuple((text, text) for text in ("10", "20", "50", "100", "500", "1000", "5000"))
_name, _long = _text(lambda options: options.name_bytes), _text(lambda options: options.description_bytes)
_DAY: Final = 86_400

FIELDS: Final = (
    Field(_P + "roomname", "name", "text-single", "Name of the room", _name),
    Field(_P + "roomdesc", "description", "text-single", "Short description", _long),
    Field(_P + "lang", "lang", "text-single", "Language of the discussions", _name),
    Field(_P + "publicroom", "public", "boolean", "Listed for everybody?", _boolean),
    Field(_P + "persistentroom", "persistent", "boolean", "Stays when nobody is in it?", _boolean),
    Field(_P + "enablelogging", "archive", "boolean", "Keep an archive of what is said?", _boolean),
    Field(_P + "membersonly", "members_only", "boolean", "For members only?", _boolean),
    Field(_P + "moderatedroom", "moderated", "boolean", "Moderated?", _boolean),
    Field(_P + "passwordprotectedroom", "password_protected", "boolean", "Password needed?", _boolean),
    Field(_P + "roomsecret", "secret", "text-private", "Password", _long),
    Field(_P + "whois", "non_anonymous", "list-single", "Who sees real addresses?", _whois, _WHOIS),
    Field(_P + "changesubject", "change_subject", "boolean", "May participants set the subject?", _boolean),
    Field(_P + "allowinvites", "allow_invites", "boolean", "May members invite others?", _boolean),
    Field(_P + "allowpm", "allow_pm", "list-single", "Who may send private messages?", _one_of(_PM), _PM),
    Field(
        _P + "maxusers",
        "max_users",
        "list-single",
        "Occupants at most",
        _number(1, 0, lambda options: options.occupants_max),
        (*_USERS, ("none", "As many as the service allows")),
    ),
    Field(
        "muc#maxhistoryfetch",
        "max_history",
        "text-single",
        "Messages of history at most",
        _number(0, -1, lambda options: options.history_max),
    ),
    Field(
        _P + "presencebroadcast",
        "broadcast",
        "list-multi",
        "Whose presence is shown?",
        _some_of(_ROLES),
        _ROLES,
    ),
    Field(
        _P + "getmemberlist",
        "member_list",
        "list-multi",
        "Who may read the list of members?",
        _some_of(_ROLES),
        _ROLES,
    ),
    Field(_P + "pubsub", "pubsub", "text-single", "Address of a publish-subscribe node", _name),
    Field(
        "muc#roominfo_contactjid",
        "contacts",
        "jid-multi",
        "Addresses of those in charge",
        lambda values, _: jids(values, 20),
    ),
    Field(
        _P + "slow_mode_duration",
        "slow_seconds",
        "text-single",
        "Seconds between two messages of somebody (0: none)",
        _number(0, 0, lambda options: _DAY),
    ),
    Field(_OURS + "occupants", "public_occupants", "boolean", "List nicks to everybody?", _boolean),
    Field(_OURS + "registration", "registration", "boolean", "May everybody register?", _boolean),
    Field(_OURS + "lock_nicks", "lock_nicks", "boolean", "Registered nicks only?", _boolean),
    Field(_OURS + "voice_requests", "voice_requests", "boolean", "May visitors ask for voice?", _boolean),
)
BY_VAR: Final = {field.var: field for field in FIELDS}
OWNERS: Final = _P + "roomowners"
ADMINS: Final = _P + "roomadmins"


def written(config: Config, field: Field) -> tuple[str, ...]:
    """The values of a field as forms have them."""
    value = getattr(config, field.attribute)
    if field.attribute == "non_anonymous":
        return ("anyone" if value else "moderators",)
    if field.attribute == "max_users":
        return (str(value) if value else "none",)
    if field.attribute == "max_history":
        return (str(value),) if value >= 0 else ()
    if isinstance(value, bool):
        return ("1" if value else "0",)
    if isinstance(value, tuple):
        return value
    return (str(value),) if value != "" else ()


def submitted(config: Config, form: dict[str, list[str]], options: Options) -> Config:
    """The configuration with what a form changes. Raises StanzaError; unknown fields are ignored (XEP-0004 section 3.2)."""
    if form.get("FORM_TYPE", [CONFIG]) != [CONFIG]:
        raise StanzaError("bad-request", "the form has another FORM_TYPE")
    changed = {field.attribute: field.read(form[field.var], options) for field in FIELDS if field.var in form}
    new = replace(config, **changed)
    if new.password_protected and not new.secret:
        raise bad("a room with a password needs one")
    return new
