"""XEP-0158 in forms of registration (section 5.1)."""

from __future__ import annotations

from rookery.shared.xeps import captcha, data_forms, registration
from rookery.shared.xeps.captcha import Answer, Puzzle
from rookery.shared.xmpp.parse import parse_element


def test_the_form_stands_in_the_query() -> None:
    fields = captcha.fields(Puzzle("F3A6", "Which colour?", "e03d7"), "example.org", "reg1")
    form = registration.asking_form("Fill it in.", fields).find(data_forms.NS, "x")
    assert form is not None
    assert data_forms.values(form) == {
        "FORM_TYPE": [registration.NS], "from": ["example.org"], "challenge": ["F3A6"], "sid": ["reg1"],
        "qa": [], "SHA-256": [], "username": [], "password": [], "email": [],
    }  # fmt: skip
    xml = form.xml()
    assert "<field var='qa' type='text-single' label='Which colour?'/>" in xml, "one of two is enough"
    assert "<field var='SHA-256' type='text-single' label='e03d7'><desc>For apps " in xml


def test_one_of_one_is_required() -> None:
    (*_, last) = captcha.fields(Puzzle("F", "Which colour?"), "example.org", "")
    assert last.required
    assert [one.var for one in captcha.fields(Puzzle("F", "", "ff"), "example.org", "")] == [
        "from", "challenge", "SHA-256",
    ]  # fmt: skip


def test_an_answer_is_read() -> None:
    form = parse_element(
        b"<x xmlns='jabber:x:data' type='submit'><field var='challenge'><value>F</value></field>"
        b"<field var='qa'><value>light</value><value>blue</value></field></x>"
    )
    assert captcha.answer(data_forms.values(form)) == Answer("F", "light blue", "")


def test_work_ends_in_the_bits_of_its_label() -> None:
    work = "innocent@victim.com2450F06C173B05E3"  # (its hash ends in d3a8b, not in e03d7 as the example of section 6.1 says)
    assert captcha.is_done(work, "d3a8b", "innocent@victim.com")
    assert captcha.is_done(work, "b", "innocent@victim.com")
    assert not captcha.is_done(work, "e03d7", "innocent@victim.com")
    assert not captcha.is_done(work, "d3a8b", "somebody@victim.com")
    assert not captcha.is_done("innocent@victim.com" + "0" * 2000, "1", "innocent@victim.com")
