"""XEP-0355: what may be delegated, what is forwarded, which results are believed, and what is nested into discovery."""

from __future__ import annotations

import pytest

from rookery.shared.cluster.delegations import of_domains
from rookery.shared.cluster.domains import DomainRow
from rookery.shared.xeps import namespace_delegation as delegation
from rookery.shared.xeps._xep import Target
from rookery.shared.xeps.namespace_delegation import BARE, BARE_INFO, BARE_ITEMS, DOMAIN, NS, Nested
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.parse import parse_element
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

from .helpers import ask, iq

HERE, PEP, OTHER = "example.org", "pep.example.org", "roster.example.org"
PUBSUB, MAM, INFO = (
    "http://jabber.org/protocol/pubsub",
    "urn:xmpp:mam:2",
    "http://jabber.org/protocol/disco#info",
)
ITEMS = "http://jabber.org/protocol/disco#items"
ROWS = (
    DomainRow(HERE),
    DomainRow("other.org"),
    DomainRow(PEP, "component", delegations={PUBSUB: [], MAM: ["node"], BARE_INFO: [], BARE_ITEMS: []}),
    DomainRow(OTHER, "component", delegations={"jabber:iq:roster": [], PUBSUB: []}),
)


def managing(request: Stanza, *, bare: bool = True) -> str:
    return of_domains(ROWS)[HERE].managing(request, bare=bare)


def request(payload: str, type: str = "get", from_: str = "alice@example.org/phone", id: str = "1") -> Stanza:
    return iq(payload, type, "alice@example.org").replace(from_=from_, id=id)


def test_what_a_row_says() -> None:
    said = {
        PUBSUB: [],
        MAM: ["node", "x"],
        NS: [],
        f"{NS}#configure": [],
        BARE_INFO: [],
        "": [],
        "urn:odd": "node",
    }
    assert delegation.of_row(said) == {PUBSUB: (), MAM: ("node", "x"), BARE_INFO: ()}
    assert delegation.of_row(None) == delegation.of_row([PUBSUB]) == {}


def test_the_namespace_of_this_xep_is_never_delegated() -> None:
    """Section 8, rule 5: it MUST NOT be delegated; if an entity requests it, forbidden."""
    assert not delegation.allowed(NS)
    with pytest.raises(StanzaError) as refused:
        ask(iq(f"<query xmlns='{NS}' to='alice@example.org'><delegate namespace='{NS}'/></query>"))
    assert refused.value.condition == "forbidden"


def test_what_a_component_is_told() -> None:
    """Section 4.2."""
    told = delegation.advertised({MAM: ("node",), PUBSUB: ()}, HERE, PEP)
    assert (told.kind, told.from_, told.to) == ("message", HERE, PEP)
    assert (
        told.inner.replace(b'"', b"'")
        == (
            f"<delegation xmlns='{NS}'><delegated namespace='{MAM}'><attribute name='node'/></delegated>"
            f"<delegated namespace='{PUBSUB}'/></delegation>"
        ).encode()
    )


@pytest.mark.parametrize(
    ("payload", "component"),
    [
        (f"<pubsub xmlns='{PUBSUB}'/>", PEP),
        (f"<query xmlns='{MAM}' node='x'/>", PEP),
        (f"<query xmlns='{MAM}'/>", ""),
        ("<query xmlns='jabber:iq:roster'/>", OTHER),
        ("<query xmlns='jabber:iq:version'/>", ""),
        (f"<query xmlns='{INFO}'/>", ""),
        (f"<query xmlns='{INFO}' node='urn:xmpp:microblog:0'/>", PEP),
        (f"<query xmlns='{INFO}' node='http://jabber.org/protocol/commands'/>", ""),
        (f"<query xmlns='{ITEMS}'/>", PEP),
        (f"<query xmlns='{ITEMS}' node='x'/>", PEP),
    ],
)
def test_which_requests_are_delegated(payload: str, component: str) -> None:
    """Sections 4.3 (an attribute that is not there: as if it were not delegated, note 3), 7.2.4, 7.2.5."""
    assert managing(request(payload)) == component


def test_discovery_of_the_domain_itself_is_not_delegated() -> None:
    assert managing(request(f"<query xmlns='{ITEMS}'/>"), bare=False) == ""
    assert managing(request(f"<pubsub xmlns='{PUBSUB}'/>"), bare=False) == PEP


@pytest.mark.parametrize(
    "changes", [{"from_": PEP}, {"from_": f"x@{PEP}/r"}, {"id": f"privileged:{PEP}/abc"}]
)
def test_what_the_managing_entity_sends_is_not_forwarded(changes: dict[str, str]) -> None:
    """Section 4.3.1: MUST NOT; also not what it asks as a privileged entity in a user's name."""
    assert managing(request(f"<pubsub xmlns='{PUBSUB}'/>", **changes)) == ""
    assert managing(request("<query xmlns='jabber:iq:roster'/>", **changes)) == OTHER


@pytest.mark.parametrize("type", ["result", "error", "", "odd"])
def test_only_requests_are_delegated(type: str) -> None:
    assert managing(request(f"<pubsub xmlns='{PUBSUB}'/>", type)) == ""


def test_a_request_is_forwarded_whole() -> None:
    """Section 4.3."""
    asked = request(f"<pubsub xmlns='{PUBSUB}'><x/></pubsub>", "set").replace(to="")
    sent = delegation.wrapped(asked, HERE, PEP, "d1")
    assert (sent.kind, sent.type, sent.from_, sent.to, sent.id) == ("iq", "set", HERE, PEP, "d1")
    assert (
        sent.inner.replace(b'"', b"'")
        == (
            f"<delegation xmlns='{NS}'><forwarded xmlns='urn:xmpp:forward:0'>"
            "<iq xmlns='jabber:client' from='alice@example.org/phone' id='1' type='set'>"
            f"<pubsub xmlns='{PUBSUB}'><x/></pubsub></iq></forwarded></delegation>"
        ).encode()
    )


def answered(attributes: str, type: str = "result", asked: str = "") -> Stanza:
    inner = f"<iq xmlns='jabber:client' {attributes}><done xmlns='urn:x'/></iq>"
    payload = (
        f"<delegation xmlns='{NS}'><forwarded xmlns='urn:xmpp:forward:0'>{inner}</forwarded></delegation>"
    )
    answer = iq(payload, type, HERE).replace(from_=PEP, id="d1")
    return delegation.unwrapped(answer, "alice@example.org/phone", asked, "1")


GOOD = "to='alice@example.org/phone' id='1' type='result'"


@pytest.mark.parametrize(
    ("attributes", "asked"),
    [
        (GOOD, ""),
        (f"from='alice@example.org' {GOOD}", ""),
        (GOOD, "bob@example.org"),
        (f"from='bob@example.org' {GOOD}", "bob@example.org"),
        (f"from='{HERE}' {GOOD}", HERE),
    ],
)
def test_a_result_that_fits_goes_to_who_asked(attributes: str, asked: str) -> None:
    told = answered(attributes, asked=asked)
    assert (told.type, told.from_, told.to, told.id) == ("result", asked, "alice@example.org/phone", "1")
    assert told.inner.replace(b'"', b"'") == b"<done xmlns='urn:x'/>"


@pytest.mark.parametrize(
    "attributes",
    [
        "to='bob@example.org/phone' id='1' type='result'",
        "to='alice@example.org/phone' id='2' type='result'",
        "to='alice@example.org/phone' id='1' type='set'",
        f"from='eve@example.org' {GOOD}",
    ],
)
def test_a_result_that_does_not_fit_becomes_service_unavailable(attributes: str) -> None:
    """Section 4.3: MUST insure `to`, `from`, `id` and `type`."""
    told = answered(attributes)
    assert (told.type, told.to, told.id) == ("error", "alice@example.org/phone", "1")
    assert b"service-unavailable" in told.inner


def test_an_error_of_the_component_becomes_service_unavailable() -> None:
    """Section 4.3, note 2."""
    told = answered(GOOD, "error")
    assert told.type == "error"
    assert b"service-unavailable" in told.inner


# --- what is nested (section 7.2) -------------------------------------------------------------------------------------


def element(xml: str) -> Element:
    return parse_element(xml.encode())


def feature(var: str) -> Element:
    return Element(INFO, "feature", {"var": var})


PEP_IDENTITY = Element(INFO, "identity", {"category": "pubsub", "type": "pep"})
FORM = element(
    "<x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE' type='hidden'><value>urn:f</value></field></x>"
)


def test_features_of_a_domain_are_those_of_its_component() -> None:
    """Section 7.2.1: MUST advertise the result, and MUST ignore features of its internal component."""
    nested = [
        Nested("urn:xmpp:mam:2", DOMAIN, (feature("urn:xmpp:mam:2"), FORM)),
        Nested("jabber:iq:register", DOMAIN, ()),
        Nested(PUBSUB, BARE, (feature("urn:not-here"),)),
    ]
    answer = ask(iq(f"<query xmlns='{INFO}'/>"), nested=nested).find(INFO, "query")
    assert answer is not None
    known = [one.get("var") for one in answer.elements(INFO, "feature")]
    assert NS in known
    assert "urn:xmpp:mam:2" in known
    assert "jabber:iq:register" not in known
    assert "urn:not-here" not in known
    assert answer.find("jabber:x:data", "x") == FORM


def test_features_of_an_account_are_those_of_the_component() -> None:
    """Section 7.2.2."""
    theirs = (PEP_IDENTITY, feature(f"{PUBSUB}#publish"))
    for children, identities in ((theirs, 2), ((), 1)):
        answer = ask(
            iq(f"<query xmlns='{INFO}'/>"), Target.ACCOUNT, own=True, nested=[Nested(PUBSUB, BARE, children)]
        ).find(INFO, "query")
        assert answer is not None
        known = [one.get("var") or "" for one in answer.elements(INFO, "feature")]
        assert [one for one in known if one.startswith(PUBSUB)] == [
            one.get("var") for one in children if one.name == "feature"
        ]
        assert len(list(answer.elements(INFO, "identity"))) == identities


def test_what_a_component_tells_is_kept_as_its_row_has_it() -> None:
    node = f"{NS}{DOMAIN}{PUBSUB}"
    assert delegation.nodes({PUBSUB: (), BARE_INFO: ()}) == [node, f"{NS}{BARE}{PUBSUB}"]
    question = delegation.question(HERE, PEP, node)
    assert (question.type, question.from_, question.to) == ("get", HERE, PEP)
    query = Element(
        INFO, "query", {"node": node}, PEP_IDENTITY, feature("urn:a"), Element("urn:odd", "x"), FORM
    )
    answer = Stanza.build("iq", query, type="result", from_=PEP, to=HERE, id=question.id)
    text = delegation.told(answer)
    [nested, other] = delegation.nested_of_row({node: text}, {PUBSUB: ()})
    assert nested == Nested(PUBSUB, DOMAIN, (PEP_IDENTITY, feature("urn:a"), FORM))
    assert other == Nested(PUBSUB, BARE, ())
    assert delegation.told(answer.replace(type="error")) == ""
    large = Element(INFO, "query", None, *(feature(f"urn:{'x' * 1000}{n}") for n in range(20)))
    assert delegation.told(Stanza.build("iq", large, type="result")) == ""
    assert delegation.nested_of_row({node: "<broken"}, {PUBSUB: ()})[0].children == ()
