"""Verbs that send: announcements and single messages."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta

from rookery.admin import announcing, names
from rookery.admin.desk import Desk
from rookery.admin.verb import AnyJid, DomainName, Given, Taken, Verb

Body = Annotated[str, Meta(description="The text", min_length=1, max_length=announcing.MAX_TEXT)]
Subject = Annotated[str, Meta(description="Its heading", max_length=announcing.MAX_TEXT)]


class Announcement(Taken, frozen=True, kw_only=True):
    """What everybody who is online in a domain is told."""

    domain: DomainName
    body: Body
    subject: Subject = ""


class Announced(Given, frozen=True, kw_only=True):
    """How many sessions it was sent to."""

    sessions: int


class SendMessage(Taken, frozen=True, kw_only=True, rename={"from_": "from"}):
    """One message, from a hosted domain or a user of it, to a user."""

    from_: Annotated[
        str, Meta(description="A hosted domain, or a user of one", min_length=1, max_length=3071)
    ]
    to: AnyJid
    body: Body
    subject: Subject = ""
    type: Literal["chat", "headline", "normal"] = "normal"


async def _announce(desk: Desk, taken: Announcement) -> Announced:
    count = await announcing.announce(desk, names.domain(taken.domain), taken.body, taken.subject)
    return Announced(sessions=count)


async def _send(desk: Desk, taken: SendMessage) -> None:
    await announcing.send(
        desk, names.address(taken.from_), names.address(taken.to), taken.type, taken.body, taken.subject
    )


VERBS: Final = (
    Verb(
        "announcements.send",
        "announce",
        "POST",
        "/v1/announcements",
        Announcement,
        Announced,
        _announce,
        "Send a headline to everybody who is online in a domain",
        errors=(404, 503),
    ),
    Verb(
        "messages.send",
        "announce",
        "POST",
        "/v1/messages",
        SendMessage,
        None,
        _send,
        "Send one message",
        errors=(404,),
    ),
)
