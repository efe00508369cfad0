"""XEP-0079: Advanced Message Processing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Final, Literal, NamedTuple

from rookery.shared.options import Section, about
from rookery.shared.xeps._xep import Target, Xep
from rookery.shared.xmpp import ns
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

NS: Final = "http://jabber.org/protocol/amp"
_NS_ERRORS: Final = f"{NS}#errors"
#: Rules of one message.
MAX_RULES: Final = 16
ACTIONS: Final = ("alert", "drop", "error", "notify")
CONDITIONS: Final = {
    "deliver": frozenset({"direct", "forward", "gateway", "none", "stored"}),
    "expire-at": frozenset[str](),
    "match-resource": frozenset({"any", "exact", "other"}),
}
#: What is told about the disco node of this XEP (section 2.2).
FEATURES: Final = (
    NS,
    *(f"{NS}?action={action}" for action in ACTIONS),
    *(f"{NS}?condition={condition}" for condition in CONDITIONS),
)


class Options(Section, frozen=True):
    """Rules that senders put on their messages."""

    tells_presence: Annotated[
        Literal["nobody", "local", "everybody"],
        about(
            "Who may be told where a message went, and learn so who is online: nobody, senders of this server, everybody"
        ),
    ] = "nobody"


XEP = Xep(
    79,
    "1.2",
    "partial",
    features={Target.DOMAIN: (NS,)},
    implemented_in="router",
    note="At the server of the recipient, for accounts. Rules that tell a sender where a message went need a setting, "
    "since they tell who is online. Messages to other servers go there with their rules.",
    options=Options,
)


class Rule(NamedTuple):
    """One rule as it was sent."""

    condition: str
    action: str
    value: str

    def element(self) -> Element:
        """The `<rule/>`."""
        return Element(NS, "rule", {"action": self.action, "condition": self.condition, "value": self.value})


class Fate(NamedTuple):
    """What would happen to a message: "direct" to these resources, "stored", or "none"."""

    how: str
    resources: Sequence[str] = ()


class Verdict(NamedTuple):
    """What follows from the rules: whether the message goes its way, and what its sender is told."""

    goes_on: bool
    answers: Sequence[Stanza] = ()


GOES_ON: Final = Verdict(True)


def has_rules(stanza: Stanza) -> bool:
    """Whether a message asks for anything; what tells of rules that were met asks for nothing."""
    if stanza.type == "error" or not stanza.has(NS, "amp"):
        return False
    amp = stanza.find(NS, "amp")
    return amp is not None and amp.get("status") is None


def judge(stanza: Stanza, fate: Fate, now: float, tells: bool) -> Verdict:
    """Apply the rules of a message, in their order (section 3.3); `tells`: its sender may learn where it goes. `now` in Unix seconds."""
    amp = stanza.find(NS, "amp")
    assert amp is not None
    rules = [_rule(child) for child in amp.elements(NS, "rule")]
    refused = _refused(stanza, rules, tells)
    if refused is not None:
        return Verdict(False, (refused,))
    per_hop = amp.get("per-hop") in ("true", "1")
    answers: list[Stanza] = []
    resource = stanza.to.partition("/")[2]
    for rule in rules:
        if (per_hop and rule.condition == "match-resource") or not _met(rule, fate, resource, now):
            continue
        if rule.action != "drop":
            answers.append(_told(stanza, rule))
        if rule.action != "notify":
            return Verdict(False, answers)
    return Verdict(True, answers)


def expired(stanza: Stanza, now: float) -> Verdict:
    """What becomes of a stored message before it is delivered: only the time matters any more."""
    amp = stanza.find(NS, "amp")
    for child in () if amp is None or amp.get("status") is not None else amp.elements(NS, "rule"):
        rule = _rule(child)
        at = _time(rule.value) if rule.condition == "expire-at" else None
        if at is None or now < at or rule.action not in ACTIONS:
            continue
        answers = () if rule.action == "drop" else (_told(stanza, rule),)
        return Verdict(rule.action == "notify", answers)
    return GOES_ON


def _rule(child: Element) -> Rule:
    return Rule(child.get("condition") or "", child.get("action") or "", child.get("value") or "")


def _refused(stanza: Stanza, rules: Sequence[Rule], tells: bool) -> Stanza | None:
    """The error for rules that are not understood or not allowed (section 5); None when all are fine."""
    if not stanza.id or not rules or len(rules) > MAX_RULES:
        return _error(stanza, "bad-request", NS, "invalid-rules", rules[:MAX_RULES])
    wrong = [rule for rule in rules if rule.action not in ACTIONS]
    if wrong:
        return _error(stanza, "bad-request", NS, "unsupported-actions", wrong)
    wrong = [rule for rule in rules if rule.condition not in CONDITIONS]
    if wrong:
        return _error(stanza, "bad-request", NS, "unsupported-conditions", wrong)
    wrong = [rule for rule in rules if not _valid(rule) or not (tells or _silent(rule))]
    if wrong:
        return _error(stanza, "not-acceptable", NS, "invalid-rules", wrong)
    return None


def _valid(rule: Rule) -> bool:
    if rule.condition == "expire-at":
        return _time(rule.value) is not None
    return rule.value in CONDITIONS[rule.condition]


def _silent(rule: Rule) -> bool:
    """Whether the rule tells nothing of where the recipient is: a time says nothing of it, and what is dropped is not told."""
    return rule.condition == "expire-at" or rule.action == "drop"


def _time(text: str) -> float | None:
    """A time in UTC (XEP-0082) as Unix seconds; None when it is none."""
    if not text.endswith("Z") or "T" not in text:
        return None
    try:
        return datetime.fromisoformat(text[:-1]).replace(tzinfo=UTC).timestamp()
    except (ValueError, OverflowError):
        return None


def _met(rule: Rule, fate: Fate, resource: str, now: float) -> bool:
    if rule.condition == "deliver":
        return rule.value == fate.how
    if rule.condition == "expire-at":
        at = _time(rule.value)
        return fate.how == "direct" and at is not None and now >= at
    if rule.value == "any":
        return True
    if fate.how == "none":
        return False
    # Without a resource is what goes into the store.
    exact = (fate.resources == (resource,)) if fate.how == "direct" else not resource
    return exact if rule.value == "exact" else not exact


def _told(stanza: Stanza, rule: Rule) -> Stanza:
    if rule.action == "error":
        return _error(stanza, "undefined-condition", _NS_ERRORS, "failed-rules", [rule])
    return Stanza.build("message", _amp(stanza, rule.action, [rule]), **_back(stanza))


def _back(stanza: Stanza) -> dict[str, str]:
    """From the server to the sender, under the same id."""
    domain = stanza.to.partition("/")[0].rpartition("@")[2]
    return {"to": stanza.from_, "from_": domain, "id": stanza.id}


def _amp(stanza: Stanza, status: str, rules: Sequence[Rule]) -> Element:
    attrs = {"status": status, "from": stanza.from_, "to": stanza.to}
    return Element(NS, "amp", attrs, *(rule.element() for rule in rules))


def _error(stanza: Stanza, condition: str, uri: str, name: str, rules: Sequence[Rule]) -> Stanza:
    failed = Element(uri, name, None, *(Element(uri, "rule", rule.element().attrs) for rule in rules))
    error = Element(ns.CLIENT, "error", {"type": "modify"}, Element(ns.STANZA_ERRORS, condition), failed)
    return Stanza.build("message", _amp(stanza, "error", rules), error, type="error", **_back(stanza))
