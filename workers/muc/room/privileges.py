"""Section 5 as tables: what a role and an affiliation allow, which role comes with which affiliation, who may change what."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final

from rookery.workers.muc.room.values import Affiliation, Role

_VISITOR, _PARTICIPANT, _MODERATOR = Role.VISITOR, Role.PARTICIPANT, Role.MODERATOR
_OUTCAST, _NONE, _MEMBER, _ADMIN, _OWNER = Affiliation


class Privilege(Enum):
    """A row of the tables of sections 5.1.1 and 5.2.1."""

    PRESENT = "Present in Room"
    RECEIVE_MESSAGES = "Receive Messages"
    RECEIVE_PRESENCE = "Receive Occupant Presence"
    SEND_PRESENCE = "Broadcast Presence to All Occupants"
    CHANGE_STATUS = "Change Availability Status"
    CHANGE_NICK = "Change Room Nickname"
    PRIVATE = "Send Private Messages"
    INVITE = "Invite Other Users"
    SPEAK = "Send Messages to All"
    SUBJECT = "Modify Subject"
    KICK = "Kick Participants and Visitors"
    GRANT_VOICE = "Grant Voice"
    REVOKE_VOICE = "Revoke Voice"
    ENTER_OPEN = "Enter Open Room"
    ENTER_MEMBERS_ONLY = "Enter Members-Only Room"
    BAN = "Ban Members and Unaffiliated Users"
    EDIT_MEMBERS = "Edit Member List"
    EDIT_MODERATORS = "Assign and Remove Moderator Role"
    EDIT_ADMINS = "Edit Admin List"
    EDIT_OWNERS = "Edit Owner List"
    CONFIGURE = "Change Room Configuration"
    DESTROY = "Destroy Room"


#: Section 5.1.1: the lowest role that has it. The configuration may move PRIVATE, INVITE and SUBJECT.
BY_ROLE: Final[Mapping[Privilege, Role]] = {
    Privilege.PRESENT: _VISITOR,
    Privilege.RECEIVE_MESSAGES: _VISITOR,
    Privilege.RECEIVE_PRESENCE: _VISITOR,
    Privilege.SEND_PRESENCE: _VISITOR,
    Privilege.CHANGE_STATUS: _VISITOR,
    Privilege.CHANGE_NICK: _VISITOR,
    Privilege.PRIVATE: _VISITOR,
    Privilege.INVITE: _VISITOR,
    Privilege.SPEAK: _PARTICIPANT,
    Privilege.SUBJECT: _MODERATOR,
    Privilege.KICK: _MODERATOR,
    Privilege.GRANT_VOICE: _MODERATOR,
    Privilege.REVOKE_VOICE: _MODERATOR,
}
#: Section 5.2.1: the lowest affiliation that has it.
BY_AFFILIATION: Final[Mapping[Privilege, Affiliation]] = {
    Privilege.ENTER_OPEN: _NONE,
    Privilege.ENTER_MEMBERS_ONLY: _MEMBER,
    Privilege.BAN: _ADMIN,
    Privilege.EDIT_MEMBERS: _ADMIN,
    Privilege.EDIT_MODERATORS: _ADMIN,
    Privilege.EDIT_ADMINS: _OWNER,
    Privilege.EDIT_OWNERS: _OWNER,
    Privilege.CONFIGURE: _OWNER,
    Privilege.DESTROY: _OWNER,
}
#: Section 5.1.2: (moderated, affiliation) -> the role of somebody who comes in. Outcasts never do.
INITIAL_ROLE: Final[Mapping[tuple[bool, Affiliation], Role]] = {
    (True, _NONE): _VISITOR,
    (True, _MEMBER): _PARTICIPANT,
    (True, _ADMIN): _MODERATOR,
    (True, _OWNER): _MODERATOR,
    (False, _NONE): _PARTICIPANT,
    (False, _MEMBER): _PARTICIPANT,
    (False, _ADMIN): _MODERATOR,
    (False, _OWNER): _MODERATOR,
}
#: Section 5.1.3: (from, to) -> the role, or the affiliation, that somebody needs to change it.
ROLE_CHANGES: Final[Mapping[tuple[Role, Role], Role | Affiliation]] = {
    (_VISITOR, Role.NONE): _MODERATOR,
    (_VISITOR, _PARTICIPANT): _MODERATOR,
    (_VISITOR, _MODERATOR): _ADMIN,
    (_PARTICIPANT, Role.NONE): _MODERATOR,
    (_PARTICIPANT, _VISITOR): _MODERATOR,
    (_PARTICIPANT, _MODERATOR): _ADMIN,
    (_MODERATOR, Role.NONE): _ADMIN,
    (_MODERATOR, _VISITOR): _ADMIN,
    (_MODERATOR, _PARTICIPANT): _ADMIN,
}
#: Section 5.2.2: (from, to) -> the affiliation that somebody needs to change it.
AFFILIATION_CHANGES: Final[Mapping[tuple[Affiliation, Affiliation], Affiliation]] = {
    (_OUTCAST, _NONE): _ADMIN,
    (_OUTCAST, _MEMBER): _ADMIN,
    (_OUTCAST, _ADMIN): _OWNER,
    (_OUTCAST, _OWNER): _OWNER,
    (_NONE, _OUTCAST): _ADMIN,
    (_NONE, _MEMBER): _ADMIN,
    (_NONE, _ADMIN): _OWNER,
    (_NONE, _OWNER): _OWNER,
    (_MEMBER, _OUTCAST): _ADMIN,
    (_MEMBER, _NONE): _ADMIN,
    (_MEMBER, _ADMIN): _OWNER,
    (_MEMBER, _OWNER): _OWNER,
    (_ADMIN, _OUTCAST): _OWNER,
    (_ADMIN, _NONE): _OWNER,
    (_ADMIN, _MEMBER): _OWNER,
    (_ADMIN, _OWNER): _OWNER,
    (_OWNER, _OUTCAST): _OWNER,
    (_OWNER, _NONE): _OWNER,
    (_OWNER, _MEMBER): _OWNER,
    (_OWNER, _ADMIN): _OWNER,
}


class Standing:
    """What somebody is to a room who asks for something: an affiliation, and a role while being in."""

    __slots__ = ("affiliation", "role")

    def __init__(self, affiliation: Affiliation, role: Role) -> None:
        self.affiliation = affiliation
        self.role = role

    def has(self, privilege: Privilege) -> bool:
        """Whether the tables give it."""
        role = BY_ROLE.get(privilege)
        return self.role >= role if role is not None else self.affiliation >= BY_AFFILIATION[privilege]


def may_change_role(actor: Standing, whose: Affiliation, old: Role, new: Role) -> bool:
    """Sections 5.1.3, 8.2 to 8.5, 9.6 to 9.8: whether `actor` may change the role of somebody who has the affiliation `whose`."""
    if old is new:
        return actor.role >= _MODERATOR or actor.affiliation >= _ADMIN
    need = ROLE_CHANGES.get((old, new))
    if need is None:
        return False
    if isinstance(need, Affiliation):
        if actor.affiliation < need:
            return False
    elif actor.role < need and actor.affiliation < _ADMIN:
        return False
    if whose > actor.affiliation:
        return False
    if new is Role.NONE or new > old:
        return True
    # Nobody takes the voice or the moderator's role of admins and owners, nor that of an equal (sections 8.4, 9.7).
    return whose < _ADMIN and (whose < actor.affiliation or whose is _NONE)


def may_change_affiliation(actor: Affiliation, old: Affiliation, new: Affiliation) -> bool:
    """Section 5.2.2; an entry that stays what it is may get another nick or reason."""
    if old is new:
        return actor >= _ADMIN and actor >= old
    return actor >= AFFILIATION_CHANGES[old, new]
