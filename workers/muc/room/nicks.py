"""Nicks: prepared and compared by the PRECIS profile Nickname (RFC 8266), and by what section 16.1 asks for."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from precis_i18n import get_profile

from rookery.shared.xeps.multi_user_chat import Options
from rookery.shared.xmpp.errors import JidError, StanzaError
from rookery.shared.xmpp.jid import prepare_resource

_SHOWN: Final = get_profile("NicknameCasePreserved")
_COMPARED: Final = get_profile("NicknameCaseMapped")
_CACHED: Final = 8192
#: Letters by their class that nobody sees (section 16.1).
_BLANK: Final = " \u2800\u3164\uffa0\u115f\u1160"


@lru_cache(maxsize=_CACHED)
def _shown(nick: str) -> str:
    shown = str(_SHOWN.enforce(nick))
    return nick if shown == nick else shown  # (one string for both)


@lru_cache(maxsize=_CACHED)
def _compared(nick: str) -> str:
    compared = str(_COMPARED.enforce(nick))
    return nick if compared == nick else compared


def prepare(nick: str, options: Options) -> str:
    """The nick as the room shows it: spaces at the ends are gone. Raises StanzaError jid-malformed, or policy-violation when it is long."""
    if not nick:
        raise StanzaError("jid-malformed", "a nick is needed")
    if len(nick.encode()) > options.nick_bytes:
        raise StanzaError("policy-violation", f"a nick has at most {options.nick_bytes} bytes")
    try:
        shown = prepare_resource(_shown(nick))
        _compared(shown)
    except (UnicodeError, JidError):
        raise StanzaError("jid-malformed", "this cannot be a nick") from None
    if not shown.strip(_BLANK):
        raise StanzaError("jid-malformed", "a nick can be seen")
    return shown


def key(nick: str) -> str:
    """What two nicks that could be taken for each other share: compatible characters, case, spaces (RFC 8266 section 2.4)."""
    try:
        return _compared(nick)
    except UnicodeError:
        return nick
