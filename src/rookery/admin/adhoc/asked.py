"""What a command works with, and how it answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple

from rookery.admin import names
from rookery.admin.desk import Desk
from rookery.admin.errors import Invalid, VerbError
from rookery.shared.xeps.adhoc_commands import NS, note
from rookery.shared.xeps.data_forms import Field, form
from rookery.shared.xeps.service_administration import ADMIN
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.jid import Jid
from rookery.shared.xmpp.xml import Element
from rookery.workers.account.policies import Policy

#: JIDs of one form.
MAX_JIDS = 500


class Asked(NamedTuple):
    """A command for a hosted domain, with the fields of the form that was filled in."""

    desk: Desk
    policy: Policy
    fields: Mapping[str, Sequence[str]]

    @property
    def domain(self) -> str:
        """Whose command it is."""
        return self.policy.name

    def one(self, var: str) -> str:
        """The value of a field, "" for none."""
        return next(iter(self.fields.get(var, ())), "")

    def lines(self, var: str) -> str:
        """The lines of a text."""
        return "\n".join(self.fields.get(var, ())).strip()

    def user(self, text: str) -> Jid:
        """A user of the domain, with the resource that was written. Raises Invalid."""
        jid = names.user(text)
        if jid.domain != self.domain:
            raise Invalid(f"{text} is no user of {self.domain}")
        return jid

    def account(self, text: str) -> Jid:
        """A user of the domain; a resource does not count."""
        return Jid.trusted(self.user(text).bare)

    def jids(self, var: str = "accountjids") -> list[str]:
        """The JIDs of a field, each once, as they are written. Raises StanzaError (bad-payload)."""
        found = list(dict.fromkeys(filter(None, (text.strip() for text in self.fields.get(var, ())))))
        if len(found) > MAX_JIDS:
            raise bad_payload(f"at most {MAX_JIDS} addresses at once")
        return found

    async def each(self, work: Callable[[str], Awaitable[None]]) -> list[Element]:
        """Do `work` for each JID of the form; what was refused is told in error notes (XEP-0050 section 3.7)."""
        jids, refused = self.jids(), []
        for text in jids:
            try:
                await work(text)
            except VerbError as error:
                refused.append(str(error))
        done = len(jids) - len(refused)
        notes = [note(line, "error") for line in refused[:20]]
        if len(refused) > 20:
            notes.append(note(f"{len(refused)} were refused", "error"))
        return [*notes, *([note(f"{done} done")] if refused and done else [])]


#: Does a command; returns what stands in the answer. Raises VerbError, StanzaError.
Work = Callable[[Asked], Awaitable[list[Element]]]


def bad_payload(text: str) -> StanzaError:
    """The form cannot be taken (XEP-0050 section 4.4)."""
    return StanzaError("bad-request", text, app=(NS, "bad-payload"))


def result(*fields: Field) -> Element:
    """A form that tells something."""
    return form("result", ADMIN, fields)
