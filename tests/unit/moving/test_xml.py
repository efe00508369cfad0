"""Files of XEP-0227: structure, includes, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rookery.moving import pie, xml
from rookery.moving.files import opener
from rookery.moving.records import Left, MovingError, Person, Record

HEAD = "<server-data xmlns='urn:xmpp:pie:0' xmlns:xi='http://www.w3.org/2001/XInclude'>"


def read(**files: str) -> list[Record]:
    def open_(name: str) -> Iterator[bytes]:
        text = files[name.replace(".", "_").replace("/", "__")]
        yield from (text[at : at + 7].encode() for at in range(0, len(text), 7))

    return list(pie.read(open_, "main"))


def people(records: list[Record]) -> list[Person]:
    return [one for one in records if isinstance(one, Person)]


def test_a_user_in_one_file() -> None:
    (alice,) = people(
        read(
            main=f"{HEAD}<!-- hello --><host jid='Example.org'><user name='Alice' password='secret'/></host></server-data>"
        )
    )
    assert (alice.jid, alice.password) == ("alice@example.org", "secret")


def test_includes_at_each_level() -> None:
    found = read(
        main=f"{HEAD}<xi:include href='a.xml'/></server-data>",
        a_xml="<host xmlns='urn:xmpp:pie:0' xmlns:xi='http://www.w3.org/2001/XInclude' jid='a'><xi:include href='a/u.xml'/><user name='z'/></host>",
        a__u_xml="<user xmlns='urn:xmpp:pie:0' xmlns:xi='http://www.w3.org/2001/XInclude' name='u'><xi:include href='card.xml'/></user>",
        a__card_xml="<vCard xmlns='vcard-temp'><FN>U</FN></vCard>",
    )
    first, second = people(found)
    assert (first.jid, second.jid) == ("u@a", "z@a")
    assert first.card == b"<vCard xmlns='vcard-temp'><FN>U</FN></vCard>"
    assert not second.card


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("<!DOCTYPE x [<!ENTITY a 'b'>]><x>&a;</x>", "document types"),
        (
            "<!DOCTYPE server-data SYSTEM 'file:///etc/passwd'><server-data xmlns='urn:xmpp:pie:0'/>",
            "document types",
        ),
        ("<server-data xmlns='urn:xmpp:pie:0'>&lol;</server-data>", "not XML"),
        ("<other/>", "no file of XEP-0227"),
        (f"{HEAD}<host jid='a'>", "not XML"),
        (f"{HEAD}<host jid='a b'/></server-data>", "no domain"),
        (f"{HEAD}<host jid='a'><user name='u'>" + "<x>" * 200, "nested"),
        (f"{HEAD}<xi:include href='loop'/></server-data>", "include each other"),
        (f"{HEAD}<xi:include href='x' parse='text'/></server-data>", "by href"),
    ],
)
def test_what_is_refused(text: str, told: str) -> None:
    with pytest.raises(MovingError, match=told):
        read(main=text, loop="<include xmlns='http://www.w3.org/2001/XInclude' href='loop'/>")


def test_an_element_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xml, "ELEMENT_BYTES", 1000)
    with pytest.raises(MovingError, match="1000 bytes"):
        read(main=f"{HEAD}<host jid='a'><user name='u'><x>{'y' * 2000}</x></user></host></server-data>")


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "file:///etc/passwd", "none.xml", "link"])
def test_no_file_beside_the_folder_is_opened(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").write_text("<x/>")
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(MovingError, match="is no file in"):
        list(opener(folder)(name))


def test_what_is_not_known_is_told_and_the_rest_comes_in() -> None:
    found = read(
        main=f"{HEAD}<host jid='a'><user name='u' password='p'><x xmlns='urn:x'/></user><user name='@@'/><y xmlns='urn:y'/></host></server-data>"
    )
    assert [one.jid for one in people(found)] == ["u@a"]
    assert [one.what for one in found if isinstance(one, Left)] == [
        "elements of users: {urn:x}x",
        "accounts whose names no account can have",
        "elements of hosts: {urn:y}y",
    ]
