"""XEP-0377: Spam Reporting."""

from __future__ import annotations

from typing import Annotated, Final, NamedTuple

from rookery.shared.options import Section, about
from rookery.shared.xeps._xep import Target, Xep
from rookery.shared.xeps.stanza_ids import NS as NS_IDS
from rookery.shared.xmpp import ns
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza
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
    forward_to: Annotated[
        str,
        about(
            "Bare JID that is sent each report; at another server only those whose user agrees to third parties; empty: nobody is sent any"
        ),
    ] = ""
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
    note="Stored with the block, shown by `rookery report`; sent on to one address by a setting, to no other servers by themselves.",
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


def forwarded(to: str, reporter: str, reported: str, report: Report, *, here: bool) -> Stanza:
    """The message that tells of a report (section 5): people read its body, programs the `<report/>`. Elsewhere (not `here`) nobody learns who reports."""
    lines = [f"{reported}: {report.reason.rpartition(':')[2] or report.reason}"]
    lines += [f"reported by {reporter}"] if here else []
    lines += [report.text] if report.text else []
    said = Element(NS, "report", {"reason": report.reason})
    if report.text:
        said.children.append(Element(NS, "text", None, report.text))
    if here:
        said.children += [Element(NS_IDS, "stanza-id", {"by": by, "id": id}) for by, id in report.stanza_ids]
    body = Element(ns.CLIENT, "body", None, "\n".join(lines))
    domain = reporter.rpartition("@")[2]
    return Stanza.build("message", body, said, type="normal", from_=domain, to=to)


def goes_on(options: Options, report: Report, *, here: bool) -> bool:
    """Whether a report is sent on: within this cluster each, elsewhere what its user agrees to."""
    return bool(options.forward_to) and (here or "third-party" in report.forward)
