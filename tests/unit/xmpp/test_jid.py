"""Addresses: RFC 7622 with RFC 8265 and IDNA, bad input, and what the cache may keep."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import many

from rookery.shared.xmpp import jid as module
from rookery.shared.xmpp.errors import JidError
from rookery.shared.xmpp.jid import Jid, bare_of, conform_resource, prepare_resource


@pytest.mark.parametrize(
    ("text", "local", "domain", "resource"),
    [
        ("juliet@example.com", "juliet", "example.com", None),
        ("juliet@example.com/foo", "juliet", "example.com", "foo"),
        ("juliet@example.com/foo bar", "juliet", "example.com", "foo bar"),
        ("juliet@example.com/foo@bar/baz", "juliet", "example.com", "foo@bar/baz"),
        ("foo\\20bar@example.com", "foo\\20bar", "example.com", None),
        ("fussball@example.com", "fussball", "example.com", None),
        ("fu\u00dfball@example.com", "fu\u00dfball", "example.com", None),
        ("\u03c0@example.com", "\u03c0", "example.com", None),
        ("\u03a3@example.com/foo", "\u03c3", "example.com", "foo"),
        ("king@example.com/\u265a", "king", "example.com", "\u265a"),
        ("example.com", None, "example.com", None),
        ("example.com/foobar", None, "example.com", "foobar"),
        ("a.example.com/b@example.net", None, "a.example.com", "b@example.net"),
        ("Juliet@Example.COM/Balcony", "juliet", "example.com", "Balcony"),
        ("juliet@example.com.", "juliet", "example.com", None),
        ("juliet@example\u3002com\u3002", "juliet", "example.com", None),
        ("juliet@xn--bcher-kva.example", "juliet", "b\u00fccher.example", None),
        ("juliet@B\u00dcCHER.example", "juliet", "b\u00fccher.example", None),
        ("juliet@\uff45\uff58.example", "juliet", "ex.example", None),
        ("\uff4a\uff55\uff4c@example.com", "jul", "example.com", None),
        ("\u212aelvin@example.com", "kelvin", "example.com", None),
        ("e\u0301@example.com", "\u00e9", "example.com", None),
        ("a@127.0.0.1", "a", "127.0.0.1", None),
        ("a@[::1]/x", "a", "[::1]", "x"),
        ("a@[2001:DB8:0:0:0:0:0:1]", "a", "[2001:db8::1]", None),
        ("a@localhost/e\u0301\u00a0x", "a", "localhost", "\u00e9 x"),
    ],
)
def test_valid(text: str, local: str | None, domain: str, resource: str | None) -> None:
    jid = Jid.parse(text)
    assert (jid.local, jid.domain, jid.resource) == (local, domain, resource)
    assert Jid.trusted(jid.full) == jid
    assert bare_of(jid.full) == jid.bare == str(Jid.trusted(jid.bare))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@",
        "/",
        "@example.com",
        "@/foo",
        "a@",
        "a@/x",
        "a@example.com/",
        "/resource",
        '"juliet"@example.com',
        "foo bar@example.com",
        "a&b@example.com",
        "a'b@example.com",
        "a:b@example.com",
        "a<b@example.com",
        "a>b@example.com",
        "a@b@example.com",
        "\u265a@example.com",
        "henry\u2163@example.com",
        "a\u0000@example.com",
        "a\u0378@example.com",
        "a\u200db@example.com",
        "\u202eabc@example.com",
        "\u05d0a@example.com",
        "\U0001f98a@example.com",
        "a\ud800@example.com",
        "a@b\ud800",
        "a@b/c\ud800",
        "a@b/c\u0007",
        "a@b/c\u200b",
        "a@exa mple.com",
        "a@-example.com",
        "a@example-.com",
        "a@ex_ample.com",
        "a@example..com",
        "a@.example.com",
        "a@example.com..",
        "a@.",
        "a@xn--a",
        "a@XN--",
        "a@" + "b" * 64 + ".com",
        "a@" + "b." * 520 + "com",
        "a@\u2603.com",
        "a@[::1",
        "a@[1.2.3.4]",
        "a@[fe80::1%eth0]",
        "a@[fe80::1%<x/>]",
        "a@[]",
    ],
)
def test_malformed(text: str) -> None:
    with pytest.raises(JidError):
        Jid.parse(text)


@pytest.mark.parametrize("letter", ["a", "\u00e9", "\u05d0", "\U00010330"])
@pytest.mark.parametrize("form", ["{}@example.com", "a@example.com/{}"])
def test_parts_have_at_most_1023_octets(letter: str, form: str) -> None:
    size = len(letter.encode())
    most = 1023 // size
    assert Jid.parse(form.format(letter * most)).full == form.format(letter * most)
    with pytest.raises(JidError):
        Jid.parse(form.format(letter * (most + 1)))


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
MANY = st.sampled_from(
    "aAbß.-@/[]%:'\"<>&= \u00e9\u0301\u212a\u0130\u03a3\u05d0\u3002\uff21\u200d\u00ad\u0660\u06f0"
)


@pytest.mark.slow
@settings(max_examples=many(500))
@given(
    text=st.text(MANY | st.characters(exclude_categories=["Cs"]), max_size=16)
    | st.builds("{}@example.com/{}".format, st.text(MANY, max_size=6), st.text(min_size=1, max_size=6))
)
def test_preparation_is_stable_and_safe(text: str) -> None:
    try:
        jid = Jid.parse(text)
    except JidError:
        return
    assert Jid.parse(jid.full) == jid
    assert Jid.trusted(jid.full).bare == jid.bare
    assert not set((jid.local or "") + jid.domain) & set("\"&'<>@/ \t\r\n\0")
    assert all(len(part.encode()) <= 1023 for part in (jid.local, jid.domain, jid.resource) if part)


@given(local=TEXT, domain=TEXT, resource=TEXT)
def test_only_jid_errors(local: str, domain: str, resource: str) -> None:
    for text in (
        local,
        f"{local}@{domain}",
        f"{local}@example.com/{resource}",
        f"[{domain}]",
        f"a@xn--{domain}",
    ):
        try:
            Jid.parse(text)
        except JidError:
            continue


def test_long_addresses_are_not_cached() -> None:
    module._cached_parse.cache_clear()
    module._cached_split.cache_clear()
    long = "a" * 300 + "@example.com"
    assert Jid.parse(long) == Jid.trusted(long)
    assert module._cached_parse.cache_info().currsize == module._cached_split.cache_info().currsize == 0
    assert Jid.parse("a@b") is Jid.parse("a@b")


@pytest.mark.parametrize(
    ("wanted", "conforming"),
    [
        ("phone", "phone"),
        ("My Phone \u00e9", "My Phone \u00e9"),
        ("\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f468\U0001f469\U0001f467"),
        ("a\tb\u200bc\u0085", "abc"),
        ("x" * 1024, "x" * 1023),
        ("\u00e9" * 1000, "\u00e9" * 511),
        ("\ufb2c" * 400, None),
        ("\u200b", ""),
        ("\u0007" * 100_000, ""),
    ],
)
def test_resources_are_brought_into_conformance(wanted: str, conforming: str | None) -> None:
    resource = conform_resource(wanted)
    assert conforming is None or resource == conforming
    assert not resource or prepare_resource(resource) == resource


@given(st.text(max_size=60))
def test_what_is_brought_into_conformance_conforms(wanted: str) -> None:
    resource = conform_resource(wanted)
    assert not resource or prepare_resource(resource) == resource
