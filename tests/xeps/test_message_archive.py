from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rookery.shared.xeps.message_archive import NS, Options, Query, Result, fin, is_result, parse, result
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.parse import parse_element
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element, escape_text

TYPE = ("FORM_TYPE", [NS])


def query(*fields: tuple[str, list[str]], rsm: str = "", more: str = "", type: str = "submit") -> Query:
    inside = "".join(
        f"<field var='{var}'>{''.join(f'<value>{escape_text(value)}</value>' for value in values)}</field>"
        for var, values in fields
    )
    form = f"<x xmlns='jabber:x:data' type='{type}'>{inside}</x>" if fields else ""
    set_ = f"<set xmlns='http://jabber.org/protocol/rsm'>{rsm}</set>" if rsm else ""
    return parse(
        parse_element(f"<query xmlns='{NS}' queryid='q'>{form}{set_}{more}</query>".encode()), Options()
    )


def test_everything_that_a_query_may_say() -> None:
    assert query() == Query("q")
    got = query(
        TYPE,
        ("with", ["Bob@Example.ORG/r"]),
        ("start", ["2020-09-13T12:26:40Z"]),
        ("end", ["2020-09-13T14:26:40.5+02:00"]),
        ("before-id", ["b"]),
        ("after-id", ["a"]),
        ("ids", ["1", "2"]),
        rsm="<max>7</max><after>c</after>",
        more="<flip-page/>",
    )
    assert got == Query(
        "q",
        7,
        "bob@example.org/r",
        1_600_000_000.0,
        1_600_000_000.5,
        "b",
        "a",
        ["1", "2"],
        None,
        "c",
        None,
        True,
    )
    assert got.named == ["b", "a", "c", "1", "2"]


def test_pages() -> None:
    assert query(rsm="<max>1000000000</max>").max == 100
    assert query(rsm="<max>0</max>").max == 0
    assert query(rsm="<before/>").before == ""
    assert query(rsm="<before>x</before>").named == ["x"]
    assert query(rsm="<index>3</index>").place == 3
    assert query(rsm="<after>x</after>").max == 50


@pytest.mark.parametrize(
    "moment",
    ["now", "2020-01-01", "2020-01-01T00:00:00", "0000-01-01T00:00:00Z", "2020-13-01T00:00:00Z", "2020-02-30T00:00:00Z",
     "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00", "２020-01-01T00:00:00Z", "2020-01-01T24:00:00Z", "1e9"],
)  # fmt: skip
def test_what_is_no_moment_is_a_mistake(moment: str) -> None:
    with pytest.raises(StanzaError) as caught:
        query(TYPE, ("start", [moment]))
    assert caught.value.condition == "bad-request"


def test_a_time_that_cannot_be_is_a_query_for_nothing() -> None:
    got = query(TYPE, ("start", ["2021-01-01T00:00:00Z"]), ("end", ["2020-01-01T00:00:00Z"]))
    assert got.start is not None
    assert got.end is not None
    assert got.start > got.end


def test_the_first_and_the_last_year_are_moments() -> None:
    got = query(TYPE, ("start", ["0001-01-01T00:00:00Z"]), ("end", ["9999-12-31T23:59:59.999Z"]))
    assert got.start is not None
    assert got.end is not None
    assert got.start < 0 < got.end


@pytest.mark.parametrize(
    ("fields", "rsm", "condition"),
    [
        ([TYPE, ("with", ["@"])], "", "jid-malformed"),
        ([TYPE, ("with", ["a@b", "c@d"])], "", "bad-request"),
        ([TYPE, ("colour", ["red"])], "", "feature-not-implemented"),
        ([("with", ["a@b"])], "", "bad-request"),
        ([("FORM_TYPE", ["other"])], "", "bad-request"),
        ([TYPE, ("ids", ["x"] * (101))], "", "policy-violation"),
        ([], "<max>-1</max>", "bad-request"),
        ([], "<max>１</max>", "bad-request"),
        ([], "<max/>", "bad-request"),
        ([], "<index>x</index>", "bad-request"),
        ([], "<max>99999999999999999999999</max>", "bad-request"),
    ],
)
def test_mistakes(fields: list[tuple[str, list[str]]], rsm: str, condition: str) -> None:
    with pytest.raises(StanzaError) as caught:
        query(*fields, rsm=rsm)
    assert caught.value.condition == condition


@given(st.text(max_size=40))
def test_any_text_in_any_place_is_a_query_or_a_mistake(text: str) -> None:
    try:
        text.encode()
        element = Element(NS, "query", {"queryid": text})
        element.children.append(
            Element(
                "jabber:x:data", "x", {"type": "submit"},
                *(Element("jabber:x:data", "field", {"var": var}, Element("jabber:x:data", "value", None, value))
                  for var, value in (("FORM_TYPE", NS), ("with", text), ("start", text), ("after-id", text))),
            )
        )  # fmt: skip
        parse(element, Options())
    except (StanzaError, UnicodeEncodeError):
        pass


def test_a_form_that_is_not_submitted_is_a_mistake() -> None:
    with pytest.raises(StanzaError):
        query(TYPE, type="form")


def test_a_result_brings_the_message_as_it_was() -> None:
    stanza = Stanza.build(
        "message", Element("jabber:client", "body", None, "hi"), to="b@x", from_="a@x/r", id="1"
    )
    got = result("it's", Result("id1", 0.0, stanza), "b@x", "b@x/r")
    assert (got.to, got.from_) == ("b@x/r", "b@x")
    (element,) = got.elements()
    assert (element.get("id"), element.get("queryid")) == ("id1", "it's")
    assert got.payloads == ((NS, "result"),)
    forwarded = element.find("urn:xmpp:forward:0", "forwarded")
    assert forwarded is not None
    message = forwarded.find("jabber:client", "message")
    assert message is not None
    assert message.find_text("jabber:client", "body") == "hi"
    assert is_result(got)
    assert not is_result(got.replace(from_="mallory@x"))
    assert not is_result(got.replace(from_="b@x/other"))


def test_the_end_of_a_page_that_has_nothing() -> None:
    iq = Stanza.build("iq", type="set", id="1", from_="b@x/r")
    (element,) = fin(iq, (), complete=True, count=None, index=0).elements()
    assert element == Element(
        NS, "fin", {"complete": "true"}, Element("http://jabber.org/protocol/rsm", "set")
    )


def test_the_operator_says_how_large_pages_are() -> None:
    options = Options(page=3, page_max=7, ids_max=2)

    def wanted(rest: str) -> Query:
        return parse(parse_element(f"<query xmlns='{NS}'>{rest}</query>".encode()), options)

    rsm = "<set xmlns='http://jabber.org/protocol/rsm'>{}</set>"
    assert wanted("").max == 3
    assert wanted(rsm.format("<max>5</max>")).max == 5
    assert wanted(rsm.format("<max>50</max>")).max == 7
    assert parse(parse_element(f"<query xmlns='{NS}'/>".encode()), Options(page=9, page_max=4)).max == 4
    ids = "<value>a</value><value>b</value><value>c</value>"
    form = (
        "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>"
        f"{NS}</value></field><field var='ids'>{ids}</field></x>"
    )
    with pytest.raises(StanzaError) as caught:
        wanted(form)
    assert caught.value.condition == "policy-violation"
