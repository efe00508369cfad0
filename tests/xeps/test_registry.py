"""The house rules for XEP files, and the documents that are made of them."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Annotated
from xml.etree import ElementTree as ET

import pytest

from rookery.shared.config import Config, compose
from rookery.shared.options import Section, about
from rookery.shared.xeps import registry
from rookery.shared.xeps._xep import Context, Forward, Local, Target, Xep
from rookery.shared.xmpp import ns
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

from .helpers import context, iq

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(p for p in (ROOT / "shared/xeps").glob("[a-z]*.py") if p.name != "registry.py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_xep_file_has_its_title_line_and_its_test(path: Path) -> None:
    assert re.match(r'"""XEP-\d{4}: .+\."""\n', path.read_text())
    assert (ROOT / "tests/xeps" / f"test_{path.name}").is_file()
    assert path.stem in {declared.module for declared in registry.XEPS}


def test_each_xep_is_declared_once() -> None:
    numbers = [declared.xep.number for declared in registry.XEPS]
    assert numbers == sorted(set(numbers))


def test_what_a_xep_claims_to_do_elsewhere_is_there() -> None:
    for declared in registry.XEPS:
        for place in filter(None, declared.xep.implemented_in.split(", ")):
            path = ROOT / place.replace(".", "/")
            assert path.is_dir() or path.with_suffix(".py").is_file(), place


def test_two_claims_of_one_payload_are_refused() -> None:
    first, second = Xep(1, "1", "complete"), Xep(2, "1", "complete")
    for xep in (first, second):
        xep.forward("account", "urn:x", "x", Target.ACCOUNT)
    declared = [registry.Declared("a", "A", first), registry.Declared("b", "B", second)]
    with pytest.raises(ValueError, match="claims"):
        registry.build({}, declared)
    with pytest.raises(ValueError, match="twice"):
        first.forward("account", "urn:x", "x", Target.ACCOUNT)


def test_lookup() -> None:
    assert isinstance(registry.lookup(Target.DOMAIN, "get", "urn:xmpp:ping", "ping"), Local)
    assert registry.lookup(Target.DOMAIN, "set", "urn:xmpp:ping", "ping") is None
    assert registry.lookup(Target.DOMAIN, "get", "urn:unknown", "x") is None
    roster = registry.lookup(Target.ACCOUNT, "get", ns.ROSTER, "query")
    assert roster == Forward("roster", marks="interested", own_only=True)
    assert registry.lookup(Target.DOMAIN, "get", ns.ROSTER, "query") is None


def test_a_stranger_learns_nothing_of_an_account() -> None:
    """What answers for an account is for subscribers, or its worker refuses strangers, or (a vCard) is public."""
    for declared in registry.XEPS:
        for (target, _, namespace, _), entry in declared.xep.entries.items():
            if target is Target.ACCOUNT and isinstance(entry, Local):
                assert entry.subscribers_only, namespace


def test_features_are_sorted_and_have_the_base() -> None:
    for target in Target:
        features = registry.features(target)
        assert features == sorted(set(features))
        assert not features or "http://jabber.org/protocol/disco#info" in features
    assert registry.features(Target.DOMAIN)
    assert registry.features(Target.ACCOUNT)


class Options(Section, frozen=True):
    """Of a XEP that does not exist."""

    most: Annotated[int, about("How many", "things", ge=1)] = 3


def made_up() -> Xep:
    """A XEP with something for every target, as an engineer would write it."""
    xep = Xep(
        9999,
        "1",
        "complete",
        features={target: (f"urn:x:{target.value}",) for target in Target},
        options=Options,
    )
    xep.forward("muc", "urn:x", "join", Target.ROOM, types=("set",))

    @xep.iq("get", "urn:x", "x", Target.SERVICE, Target.ROOM, Target.NODE)
    def answer(iq: Stanza, context: Context) -> Stanza:
        """Tell what was asked, and a setting."""
        most = context.options(Options).most
        return iq.result(
            Element("urn:x", "x", {"of": context.address, "node": context.node, "most": str(most)})
        )

    return xep


@pytest.mark.parametrize(
    ("target", "address", "node"),
    [
        (Target.SERVICE, "conference.example.org", ""),
        (Target.ROOM, "garden@conference.example.org", ""),
        (Target.NODE, "pubsub.example.org", "news"),
    ],
)
def test_services_rooms_and_nodes_are_answered_and_announced(target: Target, address: str, node: str) -> None:
    declared = [registry.Declared("made_up", "Made Up", made_up())]
    table = registry.build({}, declared)
    entry = table[target, "get", "urn:x", "x"]
    assert isinstance(entry, Local)
    config = compose(registry.sections(declared))()
    features = registry.collect(declared)
    asked = iq("<x xmlns='urn:x'/>", to=address)
    answer = entry.handler(
        asked, context(address=address, node=node, options=config.options, features=features)
    ).find("urn:x", "x")
    assert answer is not None
    assert (answer.get("of"), answer.get("node"), answer.get("most")) == (address, node, "3")
    assert features[target] == (f"urn:x:{target.value}",)
    assert (Target.DOMAIN, "get", "urn:x", "x") not in table


def test_the_documents_tell_for_whom_a_xep_is() -> None:
    xep = made_up()
    assert xep.targets == tuple(Target)
    declared = [registry.Declared("made_up", "Made Up", xep)]
    for document in (registry.render_markdown(declared), registry.render_doap(declared)):
        assert "domain, account, service, room, node" in document
    assert "| room | `urn:x:room` |" in registry.render_markdown(declared)


def test_every_request_that_is_forwarded_has_an_answerer() -> None:
    table = registry.build({}, [registry.Declared("made_up", "Made Up", made_up())])
    join = ("set", "urn:x", "join")
    assert registry.kinds(table) == {"muc"}
    assert registry.answered_by("muc", {join: "handler"}, table)[join] == "handler"
    with pytest.raises(ValueError, match="muc does not answer"):
        registry.answered_by("muc", {}, table)
    with pytest.raises(ValueError, match="which nothing forwards"):
        registry.answered_by("muc", {join: "handler", ("get", "urn:x", "join"): "handler"}, table)


def test_every_kind_that_requests_are_forwarded_to_says_what_it_answers() -> None:
    for kind in registry.kinds():
        requests = import_module(f"rookery.workers.{kind}.requests").REQUESTS
        assert registry.answered_by(kind, requests) == requests
    for path in (ROOT / "workers").glob("*/requests.py"):
        assert path.parent.name in registry.kinds(), path


def test_settings_of_a_xep_do_not_hide_those_of_the_core() -> None:
    with pytest.raises(ValueError, match="limits"):
        compose({"limits": Options})
    with pytest.raises(LookupError):
        Config().options(Options)


@pytest.mark.parametrize(
    ("name", "text"),
    [("xeps.md", registry.render_markdown()), ("rookery.doap", registry.render_doap())],
)
def test_the_documents_are_current(name: str, text: str) -> None:
    assert (ROOT / "docs" / name).read_text() == text, "run `make docs`"


def test_the_doap_is_xml_with_every_xep() -> None:
    tree = ET.fromstring(registry.render_doap())
    found = tree.iter("{https://linkmauve.fr/ns/xmpp-doap#}SupportedXep")
    assert len(list(found)) == len(registry.XEPS)
