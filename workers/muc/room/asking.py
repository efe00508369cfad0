"""One stanza that a room has to decide on, with what every decision asks for: who sent it, and what that is to the room."""

from __future__ import annotations

from typing import Final, NamedTuple

from rookery.shared.xeps.multi_user_chat import NS, Options
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.jid import bare_of
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element
from rookery.workers.muc.room.facts import Facts
from rookery.workers.muc.room.privileges import Privilege, Standing
from rookery.workers.muc.room.state import Occupant, State
from rookery.workers.muc.room.values import Affiliation, Role

#: Deliveries that one occupant may cause at once, but for so many messages that are let through in any room.
_DELIVERIES: Final = 30_000
_ALWAYS: Final = 50


class Ask(NamedTuple):
    """A stanza from the full JID `stanza.from_`; `nick` is the resource of its address, "" for the room itself."""

    state: State
    facts: Facts
    stanza: Stanza
    nick: str

    @property
    def occupant(self) -> Occupant | None:
        """The sender, when it is in the room."""
        return self.state.occupants.get(self.stanza.from_)

    @property
    def bare(self) -> str:
        """The sender's bare JID."""
        return bare_of(self.stanza.from_)

    @property
    def affiliation(self) -> Affiliation:
        """What the sender is to the room; whoever administers the service is an owner everywhere."""
        return Affiliation.OWNER if self.facts.admin else self.state.affiliate(self.bare).affiliation

    @property
    def standing(self) -> Standing:
        """Affiliation and role: that of any session of the same account (section 8)."""
        occupant = self.occupant
        if occupant is not None:
            role = occupant.seat.role
        else:
            role = max((seat.role for seat in self.state.seats_of(self.bare)), default=Role.NONE)
        return Standing(self.affiliation, role)

    @property
    def actor(self) -> str:
        """The nick of the sender; "" when it is not in: then nobody is told who it was."""
        occupant = self.occupant
        if occupant is not None:
            return occupant.nick
        return next((seat.nick for seat in self.state.seats_of(self.bare)), "")

    def inside(self) -> Occupant:
        """The sender, who must be in the room. Raises StanzaError (sections 7.4 and 7.5)."""
        occupant = self.occupant
        if occupant is None:
            raise StanzaError("not-acceptable", "you are not in this room", type="cancel")
        return occupant

    def need(self, privilege: Privilege, text: str = "") -> None:
        """Raise StanzaError forbidden unless the sender has a privilege."""
        if not self.standing.has(privilege):
            raise StanzaError("forbidden", text or None)

    def paced(self, occupant: Occupant) -> None:
        """Take one message of the sender's rate. Raises StanzaError."""
        options: Options = self.facts.options
        burst = options.messages_burst
        if burst > _ALWAYS:
            burst = max(_ALWAYS, min(burst, _DELIVERIES // len(self.state.occupants)))
        if not occupant.messages.configure(options.messages_per_second, burst).spend(self.facts.now):
            raise StanzaError("policy-violation", "too many messages", type="wait")


def reason_of(element: Element | None, namespace: str, most: int) -> str:
    """The text of a `<reason/>`. Raises StanzaError when it is long."""
    text = "" if element is None else (element.find_text(namespace, "reason") or "").strip()
    if len(text.encode()) > most:
        raise StanzaError("policy-violation", f"a reason has at most {most} bytes")
    return text


def refusal(stanza: Stanza, error: StanzaError) -> Stanza:
    """The error for whoever sent a stanza; that of a presence says that it is of a room (section 7.2), and clients look for that."""
    answer = stanza.error(error)
    return answer.with_child(Element(NS, "x")) if stanza.kind == "presence" else answer
