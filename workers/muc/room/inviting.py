"""Mediated invitations and declines (section 7.8.2), and asking for voice (sections 7.13 and 8.6): messages to the room that are not for all."""

from __future__ import annotations

from typing import Final

from rookery.shared.xeps.data_forms import NS as FORMS
from rookery.shared.xeps.data_forms import Field, form, values
from rookery.shared.xeps.multi_user_chat import REQUEST, USER
from rookery.shared.xmpp.errors import JidError, StanzaError
from rookery.shared.xmpp.jid import Jid, bare_of
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element
from rookery.workers.muc.outs import Note, Say, Send
from rookery.workers.muc.room import changes as c
from rookery.workers.muc.room.asking import Ask, reason_of
from rookery.workers.muc.room.privileges import Privilege
from rookery.workers.muc.room.values import Affiliation, Role

#: Invitations in one message.
_MOST: Final = 50


def message(ask: Ask) -> list[c.Step]:
    """A message of type normal or chat to the room itself."""
    user = ask.stanza.find(USER, "x")
    if user is not None and user.find(USER, "invite") is not None:
        return _invite(ask, user)
    if user is not None and (decline := user.find(USER, "decline")) is not None:
        return _decline(ask, decline)
    x = ask.stanza.find(FORMS, "x")
    if x is not None and values(x).get("FORM_TYPE") == [REQUEST]:
        return _voice(ask, x)
    raise StanzaError("bad-request", "what is for all is a groupchat")


def _address(element: Element) -> Jid:
    try:
        return Jid.parse(element.get("to") or "")
    except JidError:
        raise StanzaError("jid-malformed") from None


# --- invitations -----------------------------------------------------------------------------------------------------


def _invite(ask: Ask, user: Element) -> list[c.Step]:
    state = ask.state
    config = state.config
    occupant = ask.occupant
    affiliation = ask.affiliation
    if occupant is None and affiliation < Affiliation.ADMIN:
        raise StanzaError("not-acceptable", "you are not in this room", type="cancel")
    if config.members_only and affiliation < (
        Affiliation.MEMBER if config.allow_invites else Affiliation.ADMIN
    ):
        raise StanzaError("forbidden", "you may not invite others")
    invites = list(user.elements(USER, "invite"))
    if len(invites) > _MOST:
        raise StanzaError("policy-violation", f"at most {_MOST} invitations at once")
    if occupant is not None:
        ask.paced(occupant)
    steps: list[c.Step] = []
    for invite in invites:
        jid = _address(invite)
        entry = state.affiliate(jid.bare)
        if entry.affiliation is Affiliation.OUTCAST:
            raise StanzaError("not-allowed", "who is banned cannot be invited")
        if config.members_only and entry.affiliation is Affiliation.NONE:
            new = entry._replace(affiliation=Affiliation.MEMBER, by=ask.bare, at=ask.facts.now)
            steps.append(c.AffiliationGiven(jid.bare, new, Affiliation.NONE, ask.actor))
        reason = reason_of(invite, USER, ask.facts.options.reason_bytes)
        steps += [
            Send(
                invitation(ask, jid.full, ask.bare, reason, invite.find(USER, "continue")), relayed=not steps
            ),
            Note("invited", ask.bare, jid.bare, state.jid),
        ]
    return steps


def invitation(ask: Ask, to: str, by: str, reason: str = "", onward: Element | None = None) -> Stanza:
    """The invitation that the room sends for somebody, or for itself."""
    state = ask.state
    invite = Element(USER, "invite", {"from": by or state.jid})
    if reason:
        invite.children.append(Element(USER, "reason", None, reason))
    if onward is not None:
        thread = onward.get("thread")
        invite.children.append(Element(USER, "continue", {"thread": thread} if thread else None))
    x = Element(USER, "x", None, invite)
    if state.config.password_protected:
        x.children.append(Element(USER, "password", None, state.config.secret))
    return Stanza.build("message", x, to=to, from_=state.jid, id=ask.stanza.id or ask.facts.token)


def _decline(ask: Ask, decline: Element) -> list[c.Step]:
    """Only those hear of it who can have invited: it is no way to write to strangers."""
    state = ask.state
    jid = _address(decline)
    to = jid.full
    if jid.bare == state.jid:
        seat = state.seat(jid.resource or "")
        to = seat.face.full if seat is not None else ""
    elif not state.seats_of(jid.bare) and state.affiliate(jid.bare).affiliation <= Affiliation.NONE:
        to = ""
    if not to:
        raise StanzaError("item-not-found", "nobody here has invited you")
    reason = reason_of(decline, USER, ask.facts.options.reason_bytes)
    said = Element(USER, "decline", {"from": ask.bare})
    if reason:
        said.children.append(Element(USER, "reason", None, reason))
    id = ask.stanza.id or ask.facts.token
    message = Stanza.build("message", Element(USER, "x", None, said), to=to, from_=state.jid, id=id)
    return [Send(message, relayed=True)]


# --- voice -----------------------------------------------------------------------------------------------------------


def _voice(ask: Ask, x: Element) -> list[c.Step]:
    given = values(x)
    if "muc#request_allow" in given:
        return _approve(ask, given)
    state = ask.state
    occupant = ask.inside()
    if given.get("muc#role") != ["participant"]:
        raise StanzaError("bad-request", "one can ask for the role of a participant")
    if occupant.seat.role is not Role.VISITOR:
        return []
    if not state.config.voice_requests:
        raise StanzaError("forbidden", "voice cannot be asked for here")
    ask.paced(occupant)
    fields = (
        Field("muc#role", ("participant",), "list-single"),
        Field("muc#jid", (occupant.full,), "jid-single"),
        Field("muc#roomnick", (occupant.nick,), "text-single"),
        Field("muc#request_allow", ("false",), "boolean"),
    )
    element = form("form", REQUEST, fields)
    element.children.insert(0, Element(FORMS, "title", None, "Voice request"))
    asked = Stanza.build("message", element, from_=state.jid, id=ask.facts.token)
    if not state.moderators:
        raise StanzaError("recipient-unavailable", "no moderator is here")
    return [Say(asked, state.moderators)]


def _approve(ask: Ask, given: dict[str, list[str]]) -> list[c.Step]:
    ask.need(Privilege.GRANT_VOICE, "only moderators give voice")
    nick = "".join(given.get("muc#roomnick", []))
    seat = ask.state.seat(nick) if nick else None
    if seat is None:
        raise StanzaError("item-not-found", "nobody has this nick")
    named = "".join(given.get("muc#jid", []))
    if named and bare_of(named) != seat.bare:
        raise StanzaError("item-not-found", "who asked has another nick now")
    allowed = given["muc#request_allow"] in (["1"], ["true"])
    if not allowed or seat.role is not Role.VISITOR:
        return []
    lasts = ask.state.config.moderated
    return [
        c.RoleGiven(seat.face, Role.PARTICIPANT, seat.role, ask.actor, "", lasts),
        Note("role_given", ask.bare, seat.bare, "participant"),
    ]
