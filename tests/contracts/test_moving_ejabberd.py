"""What a real ejabberd wrote (`export_piefxis`) comes in: accounts with the passwords of their users, and what clients had it keep."""

from __future__ import annotations

import json
import shutil
import urllib.request
from pathlib import Path

import pytest
import trustme
from tests.conftest import scratch_directory
from tests.contracts.foreign import Client

from rookery.bench.peers import ejabberd
from rookery.bench.peers.machine import account, give
from rookery.bench.peers.peer import PeerError, Ports, Site
from rookery.moving.files import opener
from rookery.moving.pie import read
from rookery.moving.records import Left, Person
from rookery.shared.xmpp.sasl.keys import derive_keys

pytestmark = pytest.mark.slow
DOMAIN = "e.example"


def fill(port: int) -> None:
    alice, bob = Client(port, "alice", DOMAIN), Client(port, "bob", DOMAIN)
    alice.ask(
        f"<query xmlns='jabber:iq:roster'><item jid='bob@{DOMAIN}' name='Bob'><group>Friends</group></item></query>"
    )
    alice.ask("<vCard xmlns='vcard-temp'><FN>Alice</FN></vCard>")
    alice.ask("<query xmlns='jabber:iq:private'><x xmlns='urn:x'>mine</x></query>")
    alice.ask("<block xmlns='urn:xmpp:blocking'><item jid='spam@bad.example'/></block>")
    alice.say("<presence/>", "<presence")
    alice.say(f"<presence to='bob@{DOMAIN}' type='subscribe'/>")
    bob.say("<presence/>", "subscribe")
    bob.ask("<query xmlns='jabber:iq:roster'/>", type="get")
    bob.say(f"<presence to='alice@{DOMAIN}' type='subscribed'/>", "jabber:iq:roster")
    bob.close()
    alice.say(f"<message to='bob@{DOMAIN}' type='chat' id='m1'><body>wake up</body></message>")
    carol = Client(port, "carol", DOMAIN)
    carol.say("<presence/>", "<presence")
    carol.say(f"<presence to='alice@{DOMAIN}' type='subscribe'/>")
    carol.close()
    alice.close()


def export(port: int, folder: Path) -> None:
    """`ejabberdctl export_piefxis`, by HTTP: this node has no name that ejabberdctl could call."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/export_piefxis",
        json.dumps({"dir": str(folder)}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert answer.status == 200


def test_what_ejabberd_wrote(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        ejabberd.check()
    except PeerError as error:
        pytest.skip(str(error))
    plain = ejabberd.configuration

    def configuration(site: Site, ports: Ports, **options: object) -> dict[str, object]:
        config = plain(site, ports, **options)  # type: ignore[arg-type]
        config["listen"][-1]["request_handlers"]["/api"] = "mod_http_api"
        config["api_permissions"] = {"local": {"who": [{"ip": "127.0.0.0/8"}], "what": ["*"]}}
        return config

    monkeypatch.setattr(ejabberd, "configuration", configuration)
    home = scratch_directory()
    home.mkdir(mode=0o755)
    try:
        issued = trustme.CA().issue_cert(DOMAIN)
        (home / "chain.pem").write_bytes(b"".join(each.bytes() for each in issued.cert_chain_pems))
        (home / "key.pem").write_bytes(issued.private_key_pem.bytes())
        written = home / "export"
        written.mkdir()
        give(home, account())
        site = Site(home, DOMAIN, home / "chain.pem", home / "key.pem", 10)
        with ejabberd.start(site) as running:
            fill(running.ports.c2s)
            export(running.ports.http, written)
        main = min(
            written.glob("*.xml"), key=lambda file: len(file.name)
        )  # those of the hosts have their names
        assert "include" in main.read_text()
        found = list(read(opener(written), main.name))
    finally:
        shutil.rmtree(home)

    assert [one for one in found if isinstance(one, Left)] == []
    people = {one.local: one for one in found if isinstance(one, Person)}
    assert sorted(people) == ["alice", "bob", "carol"]
    for name, one in people.items():
        (keys,) = one.keys
        assert derive_keys(f"pw-{name}", keys.mechanism, keys.salt, keys.iterations) == (
            keys.stored_key,
            keys.server_key,
        )
    alice, bob, carol = people["alice"], people["bob"], people["carol"]
    contacts = {one[0]: one for one in alice.contacts}
    assert contacts[f"bob@{DOMAIN}"][:5] == (f"bob@{DOMAIN}", "Bob", ("Friends",), True, False)
    assert contacts[f"carol@{DOMAIN}"].request is not None
    assert [one[0] for one in bob.contacts] == [f"alice@{DOMAIN}"]
    assert [one.asked for one in carol.contacts] == [True]
    assert b"<FN>Alice</FN>" in alice.card
    assert ("urn:x", "x", b"<x xmlns='urn:x'>mine</x>") in alice.private
    assert alice.blocked == ("spam@bad.example",)
    (waiting,) = bob.messages
    assert "wake up" in str(waiting.stanza)
