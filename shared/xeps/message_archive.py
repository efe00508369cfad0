"""XEP-0313: Message Archive Management."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, NamedTuple

from rookery.shared.options import Section, about
from rookery.shared.xeps._xep import Target, Xep
from rookery.shared.xeps.data_forms import NS as FORMS
from rookery.shared.xeps.data_forms import values
from rookery.shared.xeps.delayed_delivery import stamp
from rookery.shared.xeps.forwarding import forwarded
from rookery.shared.xmpp.errors import JidError, StanzaError
from rookery.shared.xmpp.jid import Jid
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element, escape_attr

NS: Final = "urn:xmpp:mam:2"
EXTENDED: Final = "urn:xmpp:mam:2#extended"
#: The mark of a binding whose client is told the ends of its archive (XEP-0386 section 4).
MARK: Final = "archive"
RSM: Final = "http://jabber.org/protocol/rsm"
VALIDATE: Final = "http://jabber.org/protocol/xdata-validate"


class Options(Section, frozen=True):
    """Archives of accounts: what is kept, and how much a query brings."""

    page: Annotated[int, about("Results of a page, unless the client says how many", "messages", ge=1)] = 50
    page_max: Annotated[
        int, about("Results of a page at most, whatever the client says", "messages", ge=1)
    ] = 100
    ids_max: Annotated[int, about("Ids that one query may ask for", "ids", ge=1)] = 100
    days: Annotated[
        int, about("How long archives keep messages", "days", ge=1, was="limits.archive_days")
    ] = 30
    messages: Annotated[
        int,
        about(
            "Messages that an account's archive keeps; the oldest go first",
            "messages",
            ge=1,
            was="limits.archive_messages",
        ),
    ] = 100_000


XEP = Xep(
    313,
    "1.1.3",
    "complete",
    features={Target.ACCOUNT: (NS, EXTENDED)},
    implemented_in="workers.offline, router",
    note="archives of users; every message that offline storage would keep is archived, not only those with a body",
    options=Options,
)
for _name in ("query", "metadata"):
    XEP.forward("offline", NS, _name, Target.ACCOUNT, own_only=True)

_FIELDS: Final = (
    ("with", "jid-single"),
    ("start", "text-single"),
    ("end", "text-single"),
    ("before-id", "text-single"),
    ("after-id", "text-single"),
)
#: XEP-0082 section 3.2.
_MOMENT: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})\Z"
)
_NUMBER: Final = re.compile(r"[0-9]{1,18}\Z")


class Query(NamedTuple):
    """A query as the client said it: ids are still sealed, times are in Unix seconds.

    `before` is None when the page is read from the beginning, "" for the last page. `place` is None unless a page is asked for by
    its place.
    """

    id: str
    max: int = Options().page
    with_: str = ""
    start: float | None = None
    end: float | None = None
    before_id: str = ""
    after_id: str = ""
    ids: Sequence[str] | None = None
    before: str | None = None
    after: str = ""
    place: int | None = None
    flip: bool = False

    @property
    def named(self) -> list[str]:
        """Every id that must be in the archive."""
        single = (self.before_id, self.after_id, self.before or "", self.after)
        return [one for one in (*single, *(self.ids or ())) if one]


class Result(NamedTuple):
    """One archived message: its sealed id, when it was received (Unix seconds), and how it was."""

    id: str
    stamp: float
    stanza: Stanza


def parse(query: Element, options: Options) -> Query:
    """Read a `<query/>`. Raises StanzaError."""
    form = _form(query)
    set_ = query.find(RSM, "set")
    with_ = _one(form, "with")
    try:
        peer = Jid.parse(with_).full if with_ else ""
    except JidError:
        raise StanzaError("jid-malformed") from None
    ids = form.get("ids")
    if ids is not None and len(ids) > options.ids_max:
        raise StanzaError("policy-violation", f"at most {options.ids_max} ids")
    before = None if set_ is None else set_.find_text(RSM, "before")
    return Query(
        id=query.get("queryid") or "",
        max=min(options.page if set_ is None else _number(set_, "max", options.page), options.page_max),
        with_=peer,
        start=_moment(_one(form, "start")),
        end=_moment(_one(form, "end")),
        before_id=_one(form, "before-id"),
        after_id=_one(form, "after-id"),
        ids=ids,
        before=before,
        after="" if set_ is None else set_.find_text(RSM, "after") or "",
        place=None if set_ is None or set_.find(RSM, "index") is None else _number(set_, "index", 0),
        flip=query.find(NS, "flip-page") is not None,
    )


def _form(query: Element) -> dict[str, list[str]]:
    x = query.find(FORMS, "x")
    if x is None:
        return {}
    if x.get("type") != "submit":
        raise StanzaError("bad-request", "a form is submitted")
    form = values(x)
    if form.pop("FORM_TYPE", None) != [NS]:
        raise StanzaError("bad-request", "the form has another FORM_TYPE")
    known = {name for name, _ in _FIELDS} | {"ids"}
    if not form.keys() <= known:
        raise StanzaError("feature-not-implemented", "unknown field")
    return form


def _one(form: dict[str, list[str]], name: str) -> str:
    found = form.get(name, [])
    if len(found) > 1:
        raise StanzaError("bad-request", f"{name} has one value")
    return found[0].strip() if found else ""


def _number(set_: Element, name: str, default: int) -> int:
    text = set_.find_text(RSM, name)
    if text is None:
        return default
    if not _NUMBER.match(text.strip()):
        raise StanzaError("bad-request", f"{name} is not a number")
    return int(text)


def _moment(text: str) -> float | None:
    if not text:
        return None
    match = _MOMENT.match(text)
    if match is None:
        raise StanzaError("bad-request", "not a date and time of XEP-0082")
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    try:
        moment = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second), tzinfo=UTC)
        if zone != "Z":
            offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[4:]))
            moment += -offset if zone[0] == "+" else offset
    except (ValueError, OverflowError):
        raise StanzaError("bad-request", "no such time") from None
    return moment.timestamp() + float(fraction or 0)


def form(iq: Stanza) -> Stanza:
    """The fields that a query may have (section 4.1.5)."""
    fields = [Element(FORMS, "field", {"type": type, "var": var}) for var, type in _FIELDS]
    open_list = Element(VALIDATE, "validate", {"datatype": "xs:string"}, Element(VALIDATE, "open"))
    kind = Element(FORMS, "field", {"type": "hidden", "var": "FORM_TYPE"}, Element(FORMS, "value", None, NS))
    ids = Element(FORMS, "field", {"type": "list-multi", "var": "ids"}, open_list)
    return iq.result(Element(NS, "query", None, Element(FORMS, "x", {"type": "form"}, kind, *fields, ids)))


def result(query: str, found: Result, account: str, to: str) -> Stanza:
    """The message that brings one result (section 4.2). Nothing is parsed: a deep message costs no more than a flat one."""
    named = f" queryid='{escape_attr(query)}'" if query else ""
    inner = b"<result xmlns='%b'%b id='%b'>%b</result>" % (
        NS.encode(),
        named.encode(),
        found.id.encode(),
        forwarded(found.stanza, found.stamp),
    )
    return Stanza("message", "", to, account, "", "", (), ((NS, "result"),), inner)


def is_result(stanza: Stanza) -> bool:
    """Whether a message is one of our results: of no use to anybody but the session that asked."""
    payloads = stanza.payloads
    return (
        len(payloads) == 1
        and payloads[0][0] == NS
        and payloads[0][1] == "result"
        and "/" not in stanza.from_
        and stanza.to.partition("/")[0] == stanza.from_
    )


def fin(
    iq: Stanza, rows: Sequence[Result], *, complete: bool, count: int | None, index: int | None
) -> Stanza:
    """The answer that ends a page (section 4.3, XEP-0059). `rows` in the order of the archive."""
    set_ = Element(RSM, "set")
    if rows:
        where = {} if index is None else {"index": str(index)}
        set_.children += [
            Element(RSM, "first", where, rows[0].id),
            Element(RSM, "last", None, rows[-1].id),
        ]
    if count is not None:
        set_.children.append(Element(RSM, "count", None, str(count)))
    return iq.result(Element(NS, "fin", {"complete": "true"} if complete else None, set_))


def ends(ends: Sequence[tuple[str, float]]) -> Element:
    """`<metadata/>`: the first and the last message, (sealed id, Unix seconds) each; none for an empty archive (section 5)."""
    parts = [
        Element(NS, name, {"id": id, "timestamp": stamp(at)})
        for name, (id, at) in zip(("start", "end"), (*ends[:1], *ends[-1:]), strict=False)
    ]
    return Element(NS, "metadata", None, *parts)


def metadata(iq: Stanza, found: Sequence[tuple[str, float]]) -> Stanza:
    """The answer that tells the ends of an archive."""
    return iq.result(ends(found))
