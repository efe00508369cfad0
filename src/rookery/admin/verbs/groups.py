"""Verbs about shared roster groups."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from rookery.admin import groups, tags
from rookery.admin.desk import Desk
from rookery.admin.verb import Given, Made, Nothing, Taken, UserJid, Verb

GroupName = Annotated[str, Meta(description="Name of a group", min_length=1, max_length=64)]


class Group(Given, frozen=True, kw_only=True):
    """A shared group. `everybody` is a domain all of whose users are members, `tag` one that all members have; both empty for a list; `members` counts."""

    name: str
    label: str
    everybody: str
    members: int
    tag: str = ""


class GroupList(Given, frozen=True, kw_only=True):
    """The groups by name."""

    items: list[Group]


class Members(Given, frozen=True, kw_only=True):
    """Bare JIDs."""

    items: list[str]


class OfGroup(Taken, frozen=True, kw_only=True):
    """A group."""

    group: GroupName


class PutGroup(OfGroup, frozen=True, kw_only=True):
    """A group as it is to be. The label is what members see in their rosters; without one it is the name."""

    label: Annotated[str, Meta(max_length=1024)] = ""
    everybody: Annotated[
        str, Meta(description="A domain all of whose users are members", max_length=1023)
    ] = ""
    tag: Annotated[str, Meta(description="Whoever has this tag is a member", max_length=64)] = ""


class OfMembers(OfGroup, frozen=True, kw_only=True):
    """Users who come into a group, or leave it."""

    members: Annotated[tuple[UserJid, ...], Meta(min_length=1, max_length=5000)]


class OfMember(OfGroup, frozen=True, kw_only=True):
    """A member of a group."""

    jid: UserJid


def shown(one: groups.Group) -> Group:
    """A group as it is answered."""
    return Group(**one._asdict())


async def _list(desk: Desk, taken: Nothing) -> GroupList:
    return GroupList(items=[shown(one) for one in await groups.listed(desk)])


async def _members(desk: Desk, taken: OfGroup) -> Members:
    return Members(items=list((await groups.shown(desk, taken.group))[1]))


async def _put(desk: Desk, taken: PutGroup) -> Made | Group:
    new = await groups.put(
        desk, taken.group, taken.label, taken.everybody, tags.checked(taken.tag) if taken.tag else ""
    )
    group = shown((await groups.shown(desk, taken.group))[0])
    return Made(group) if new else group


async def _remove(desk: Desk, taken: OfGroup) -> None:
    await groups.remove(desk, taken.group)


async def _join(desk: Desk, taken: OfMembers) -> Members:
    return Members(items=list(await groups.join(desk, taken.group, taken.members)))


async def _leave(desk: Desk, taken: OfMember) -> None:
    await groups.leave(desk, taken.group, (taken.jid,))


_ONE: Final = "/v1/groups/{group}"
_IN: Final = "/v1/groups/{group}/members"
VERBS: Final = (
    Verb("groups.list", "users", "GET", "/v1/groups", Nothing, GroupList, _list, "List the shared groups"),
    Verb(
        "groups.members",
        "users",
        "GET",
        _IN,
        OfGroup,
        Members,
        _members,
        "List the members of a shared group",
        errors=(404,),
    ),
    Verb(
        "groups.put",
        "users",
        "PUT",
        _ONE,
        PutGroup,
        Group,
        _put,
        "Make a shared group, or change its label",
        makes=True,
        errors=(404, 409),
    ),
    Verb(
        "groups.remove",
        "users",
        "DELETE",
        _ONE,
        OfGroup,
        None,
        _remove,
        "Remove a shared group",
        errors=(404,),
    ),
    Verb(
        "groups.join",
        "users",
        "POST",
        _IN,
        OfMembers,
        Members,
        _join,
        "Put users into a shared group; answers who is new there",
        errors=(404, 409),
    ),
    Verb(
        "groups.leave",
        "users",
        "DELETE",
        "/v1/groups/{group}/members/{jid}",
        OfMember,
        None,
        _leave,
        "Take a user out of a shared group",
        errors=(404, 409),
    ),
)
