"""The house rules for XEP files, and the documents that are made of them."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from rookery.shared.xeps import registry
from rookery.shared.xeps._xep import Forward, Local, Target, Xep
from rookery.shared.xmpp import ns

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
    assert roster == Forward("roster", marks="interested")
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
        assert "http://jabber.org/protocol/disco#info" in features


@pytest.mark.parametrize(
    ("name", "text"),
    [("xeps.md", registry.render_markdown()), ("rookery.doap", registry.render_doap())],
)
def test_the_documents_are_current(name: str, text: str) -> None:
    assert (ROOT / "docs" / name).read_text() == text, "run `rookery xeps --write`"


def test_the_doap_is_xml_with_every_xep() -> None:
    tree = ET.fromstring(registry.render_doap())
    found = tree.iter("{https://linkmauve.fr/ns/xmpp-doap#}SupportedXep")
    assert len(list(found)) == len(registry.XEPS)
