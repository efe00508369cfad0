"""What a real Prosody wrote comes in: accounts with the passwords of their users, and what clients had it keep."""

from __future__ import annotations

import shutil
import socket
import time
from pathlib import Path

import pytest
import trustme
from tests.conftest import scratch_directory
from tests.contracts.foreign import Client
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


def fill(port: int) -> None:
    alice, bob = Client(port, "alice", "p.example"), Client(port, "bob", "p.example")
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
