"""The CSV of `rookery user import`: what is taken, and mistakes by line."""

from __future__ import annotations

import base64
import io

import pytest

from rookery.cli import CommandError
from rookery.cli.users_import import Row, batches, derive, lines, read
from rookery.shared.xmpp.sasl.keys import derive_keys

KEYS = ",".join(base64.b64encode(bytes([n]) * size).decode() for n, size in ((1, 16), (2, 20), (3, 20)))


def rows(text: str, domain: str | None = None) -> list[Row]:
    return read(io.StringIO(text), domain)


def test_jids_and_names() -> None:
    found = rows("jid,password,email\nAnna@Localhost,pw,a@b\n")
    assert (found[0].localpart, found[0].domain, found[0].password, found[0].email) == (
        "anna",
        "localhost",
        "pw",
        "a@b",
    )
    assert rows("username,password\nbob,pw\n", "example.org")[0].domain == "example.org"
    assert rows("username,domain,password\nbob,other.org,pw\n", "example.org")[0].domain == "other.org"
    assert rows(" JID , Password \nbob@x,pw\n")[0].localpart == "bob"


def test_ready_keys_of_several_mechanisms_join() -> None:
    head = "jid,mechanism,iterations,salt,stored_key,server_key\n"
    longer = ",".join(base64.b64encode(bytes([n]) * size).decode() for n, size in ((1, 16), (2, 32), (3, 32)))
    (row,) = rows(head + f"a@x,SCRAM-SHA-1,4096,{KEYS}\na@x,scram-sha-256,10000,{longer}\n")
    assert [(key.mechanism, key.iterations) for key in row.keys] == [
        ("SCRAM-SHA-1", 4096),
        ("SCRAM-SHA-256", 10_000),
    ]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "must name the column jid"),
        ("name,pass\n", "line 1 names no column"),
        ("jid,passwort\n", "line 1: column 2 is not known, did you mean password"),
        ("jid,password,email\nx@y,pw,nobody\n", "line 2: a mail address is written as"),
        ("username,password\nx,y\n", "must name the column jid"),
        ("jid\nx@y\n", "must name the column password"),
        ("jid,password\nx@y\n", "line 2: not as many fields"),
        ("jid,password\nx@y,1,2\n", "line 2: not as many fields"),
        ("jid,password\nx@y,\n", "line 2: x@y has no password"),
        ("jid,password\nx@y/r,pw\n", "line 2: 'x@y/r' is not a user"),
        ("jid,password\ny,pw\n", "line 2: 'y' is not a user"),
        ("jid,password\nx y@y,pw\n", "line 2: localpart"),
        ("jid,password\nx@y,1\nX@y,2\n", "line 3: x@y is there twice"),
        ('jid,password\nx@y,"1\n', "not CSV"),
        (
            f"jid,mechanism,iterations,salt,stored_key,server_key\nx@y,PLAIN,1,{KEYS}\n",
            "mechanism 'PLAIN' is not known",
        ),
        (
            f"jid,mechanism,iterations,salt,stored_key,server_key\nx@y,SCRAM-SHA-1,４,{KEYS}\n",
            "iterations must be a number",
        ),
        (
            f"jid,mechanism,iterations,salt,stored_key,server_key\nx@y,SCRAM-SHA-256,4,{KEYS}\n",
            "have 32 bytes",
        ),
        ("jid,mechanism,iterations,salt,stored_key,server_key\nx@y,SCRAM-SHA-1,4,a,b,c\n", "must be base64"),
    ],
)
def test_mistakes_are_told_by_line(text: str, part: str) -> None:
    with pytest.raises(CommandError) as caught:
        rows(text)
    assert part in str(caught.value)


def test_many_mistakes_are_counted() -> None:
    with pytest.raises(CommandError) as caught:
        rows("jid,password\n" + "bad,x\n" * 25)
    lines = str(caught.value).splitlines()
    assert len(lines) == 12
    assert lines[-2:] == ["and 15 more mistakes", "nothing was imported"]


def test_a_mistake_does_not_print_the_password() -> None:
    with pytest.raises(CommandError) as caught:
        rows("jid,password\nx y@z,hunter2\n")
    assert "hunter2" not in str(caught.value)
    for text in (
        "alice@x,hunter2\n",
        "alice@x,hunter2,a@b\nbob@x,hunter2,b@b\n",
        "hunter2,jid\n",
        f"jid,mechanism,iterations,salt,stored_key,server_key\nx@y,hunter2,1,{KEYS}\n",
        "jid,hunter2\n",
    ):
        with pytest.raises(CommandError) as caught:
            rows(text)
        assert "hunter2" not in str(caught.value).lower()
    assert "hunter2" not in repr(rows("jid,password\nx@z,hunter2\n"))


def test_another_encoding_is_told_by_line() -> None:
    text = "jid,password\nanna@x,pw\njürgen@x,hunter2\n"
    with pytest.raises(CommandError) as caught:
        read(lines(io.BytesIO(text.encode("latin-1"))))
    assert str(caught.value).startswith("line 3: not UTF-8 (byte 0xfc): convert the file first")
    assert "hunter2" not in str(caught.value)
    assert [row.localpart for row in read(lines(io.BytesIO(text.encode("utf-8-sig"))))] == ["anna", "jürgen"]


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-1"])
def test_keys_are_those_that_the_server_makes(mechanism: str) -> None:
    keys = derive("pencil", mechanism, b"salt" * 4, 4096)
    assert (keys.stored_key, keys.server_key) == derive_keys("pencil", mechanism, b"salt" * 4, 4096)


def test_batches_are_of_one_domain_and_bounded() -> None:
    people = [Row(f"u{n}", ("a", "b")[n % 2], "") for n in range(1203)]
    found = list(batches(people))
    assert sorted(len(batch) for batch in found) == [101, 102, 500, 500]
    assert all(len({row.domain for row in batch}) == 1 for batch in found)
    assert sorted(row.localpart for batch in found for row in batch) == sorted(
        row.localpart for row in people
    )
