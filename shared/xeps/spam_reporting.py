"""XEP-0377: Spam Reporting."""

from __future__ import annotations

from typing import Annotated, Final, NamedTuple

from rookery.shared.options import Section, about
from rookery.shared.xeps._xep import Target, Xep
from rookery.shared.xeps.stanza_ids import NS as NS_IDS
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.xml import Element

NS: Final = "urn:xmpp:reporting:1"
#: The reasons that the XEP defines (section 4).
SPAM: Final = "urn:xmpp:reporting:spam"
ABUSE: Final = "urn:xmpp:reporting:abuse"
#: Processing that a user may agree to (section 5).
FORWARD: Final = ("report-origin", "third-party")
MAX_REASON: Final = 255
MAX_TEXT: Final = 2000
MAX_IDS: Final = 50


class Options(Section, frozen=True):
    """Reports of spam and abuse that come with a block (`rookery report`)."""

    days: Annotated[int, about("Reports are kept so long", "days", ge=1, le=3650)] = 90
    per_day: Annotated[
        int,
        about("Reports of one account in a day; with more it blocks, and reports nothing", "reports", ge=1),
    ] = 100


XEP = Xep(
    377,
    "0.3.1",
    "complete",
    features={Target.DOMAIN: (NS,)},
    implemented_in="workers.account",
    note="Stored with the block, shown by `rookery report`; nothing is forwarded to other servers.",
    options=Options,
)


class Report(NamedTuple):
    """What is said of one address; `stanza_ids` are (by, id), `forward` what the user agrees to."""

    reason: str
    text: str
    stanza_ids: tuple[tuple[str, str], ...]
    forward: tuple[str, ...]


def read(item: Element) -> Report | None:
    """The report in an `<item/>` of a block command (section 6), None when there is none. Raises StanzaError."""
    report = item.find(NS, "report")
    if report is None:
        return None
    reason = report.get("reason") or ""
    if not reason or len(reason) > MAX_REASON:
        raise StanzaError("bad-request", "a report has a reason")
    ids = [(one.get("by") or "", one.get("id") or "") for one in report.elements(NS_IDS, "stanza-id")]
    if len(ids) > MAX_IDS or any(len(part) > 3071 for pair in ids for part in pair):
        raise StanzaError("policy-violation", f"a report names at most {MAX_IDS} stanzas")
    texts = [one.text.strip() for one in report.elements(NS, "text")]
    return Report(
        reason,
        "\n".join(text for text in texts if text)[:MAX_TEXT],
        tuple(ids),
        tuple(name for name in FORWARD if report.find(NS, name) is not None),
    )
