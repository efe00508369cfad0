"""What a real Prosody wrote comes in: accounts with the passwords of their users, and what clients had it keep."""

from __future__ import annotations

import base64
import re
import shutil
import socket
import time
from pathlib import Path

import pytest
import trustme
from tests.conftest import scratch_directory
from tests.contracts.s2s_peers import Prosody, prosody

from rookery.moving.prosody import read
from rookery.moving.records import Left, Person, Record, Room
from rookery.shared.xmpp.sasl.keys import derive_keys

pytestmark = pytest.mark.slow
MODULES = (
    "register",
    "register_ibr",
    "private",
    "vcard",
    "pep",
    "blocklist",
    "mam",
    "offline",
    "presence",
    "message",
    "iq",
)
MORE = """
authentication = "internal_hashed"
allow_registration = true
c2s_require_encryption = false
allow_unencrypted_plain_auth = true
archive_expires_after = "never"
s2s_secure_auth = false
"""
SERVICES = 'Component "conference.p.example" "muc"\nmodules_enabled = { "muc_mam" }\nrestrict_room_creation = false\n'


class Client:
    """A client that says what it is told, and waits for the answer."""

    def __init__(self, port: int, user: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 5)
        self._socket.settimeout(5)
        self._user = user
        self._open()
        register = f"<iq type='set' id='r'><query xmlns='jabber:iq:register'><username>{user}</username><password>pw-{user}</password></query></iq>"
        self.say(register, "id='r'")
        plain = base64.b64encode(f"\0{user}\0pw-{user}".encode()).decode()
        self.say(
            f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{plain}</auth>", "<success"
        )
        self._open()
        self.ask("<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>x</resource></bind>")

    def _open(self) -> None:
        self.say(
            "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='p.example' version='1.0'>",
            "</stream:features>",
        )

    def say(self, text: str, until: str = "") -> str:
        self._socket.sendall(text.encode())
        got = b""
        while until and until.encode() not in got:
            piece = self._socket.recv(65536)
            assert piece, got
            got += piece
        return got.decode()

    def ask(self, payload: str, type: str = "set", to: str = "") -> None:
        answer = self.say(f"<iq type='{type}' id='q1'{f' to={to!r}' if to else ''}>{payload}</iq>", "id='q1'")
        while not (found := re.search(r"<iq [^>]*id='q1'[^>]*>", answer)):
            answer += self._socket.recv(65536).decode()
        assert "type='result'" in found[0], answer

    def close(self) -> None:
        self.say("</stream:stream>", "</stream:stream>")
        self._socket.close()


def fill(port: int) -> None:
    alice, bob = Client(port, "alice"), Client(port, "bob")
    bob.close()
    alice.ask(
        "<query xmlns='jabber:iq:roster'><item jid='bob@p.example' name='Bob'><group>Friends</group></item></query>"
    )
    alice.ask("<vCard xmlns='vcard-temp'><FN>Alice</FN></vCard>")
    alice.ask("<query xmlns='jabber:iq:private'><x xmlns='urn:x'>mine</x></query>")
    alice.ask("<block xmlns='urn:xmpp:blocking'><item jid='spam@bad.example'/></block>")
    alice.ask(
        "<pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='http://jabber.org/protocol/nick'>"
        "<item id='current'><nick xmlns='http://jabber.org/protocol/nick'>Al</nick></item></publish></pubsub>"
    )
    alice.say("<presence/>", "<presence")
    alice.say("<presence to='bob@p.example' type='subscribe'/>")
    alice.say("<message to='bob@p.example' type='chat' id='m1'><body>wake up</body></message>")
    alice.say(
        "<presence to='garden@conference.p.example/Al'><x xmlns='http://jabber.org/protocol/muc'/></presence>",
        "<subject",
    )
    form = (
        "<query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'>"
        "<field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#roomconfig</value></field>"
        "<field var='muc#roomconfig_roomname'><value>Garden</value></field>"
        "<field var='muc#roomconfig_persistentroom'><value>1</value></field></x></query>"
    )
    alice.ask(form, to="garden@conference.p.example")
    alice.say(
        "<message to='garden@conference.p.example' type='groupchat' id='g1'><body>roses</body></message>",
        "roses",
    )
    alice.close()


def collected(folder: Path) -> tuple[dict[str, Person], list[Room], list[Record]]:
    found = list(read(folder))
    people = {one.local: one for one in found if isinstance(one, Person)}
    return (
        people,
        [one for one in found if isinstance(one, Room)],
        [one for one in found if isinstance(one, Left)],
    )


def test_what_prosody_wrote() -> None:
    home = scratch_directory()
    home.mkdir(mode=0o755)
    try:
        authority = trustme.CA()
        issued = authority.issue_cert("p.example")
        (home / "chain.pem").write_bytes(b"".join(each.bytes() for each in issued.cert_chain_pems))
        (home / "key.pem").write_bytes(issued.private_key_pem.bytes())
        authority.cert_pem.write_to_path(home / "ca.pem")
        made = Prosody(home, "p.example", 53)
        with prosody(made, home / "ca.pem", modules=MODULES, more=MORE, services=SERVICES):
            end = time.monotonic() + 10
            while time.monotonic() < end:
                try:
                    socket.create_connection(("127.0.0.1", made.c2s), 1).close()
                    break
                except OSError:
                    time.sleep(0.05)
            fill(made.c2s)
        people, rooms, left = collected(home / "data")
    finally:
        shutil.rmtree(home)

    assert left == []
    alice, bob = people["alice"], people["bob"]
    (keys,) = alice.keys
    assert derive_keys("pw-alice", keys.mechanism, keys.salt, keys.iterations) == (
        keys.stored_key,
        keys.server_key,
    )
    (contact,) = alice.contacts
    assert contact[:5] == ("bob@p.example", "Bob", ("Friends",), False, False)
    assert contact.asked
    assert b"<FN>Alice</FN>" in alice.card
    assert ("urn:x", "x", b"<x xmlns='urn:x'>mine</x>") in alice.private
    assert alice.blocked == ("spam@bad.example",)
    nick = next(one for one in alice.nodes if one.name == "http://jabber.org/protocol/nick")
    assert nick.items[0].payload == b"<nick xmlns='http://jabber.org/protocol/nick'>Al</nick>"
    assert [(one.outgoing, one.owed) for one in alice.messages] == [(True, False)]
    (request,) = bob.contacts
    assert (request.jid, request.listed, request.request is not None) == ("alice@p.example", False, True)
    (waits,) = bob.messages
    assert (waits.owed, waits.archived, waits.peer) == (True, True, "alice@p.example")
    assert b"<body>wake up</body>" in waits.stanza.inner
    (garden,) = rooms
    assert (garden.config.name, garden.config.persistent) == ("Garden", True)
    assert [(jid, entry.affiliation.label) for jid, entry in garden.affiliates] == [
        ("alice@p.example", "owner")
    ]
    assert any(b"<body>roses</body>" in one.stanza.inner for one in garden.messages)
