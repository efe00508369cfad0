"""Files of Prosody become people and rooms."""

from __future__ import annotations

from rookery.moving import prosody
from rookery.moving.prosody_rooms import room
from rookery.moving.records import Left, Message, Person, Room

ALICE = {
    "accounts": b'return { ["salt"] = "s\\255"; ["stored_key"] = "' + b"ab" * 20 + b'"; ["server_key"] = "' + b"cd" * 20
    + b'"; ["iteration_count"] = 10000; ["created"] = 1600000000; };',
    "roster": b"""return {
        [false] = { ["version"] = 3; ["pending"] = { ["carol@example.org"] = true; ["Bob@example.org"] = true } };
        ["bob@example.org"] = { ["subscription"] = "both"; ["name"] = "Bob"; ["groups"] = { ["Friends"] = true } };
        ["dave@far.example"] = { ["subscription"] = "none"; ["ask"] = "subscribe"; ["groups"] = {} };
        ["@@"] = { ["subscription"] = "both" };
    };""",
    "vcard": b'return { ["name"] = "vCard"; ["attr"] = { ["xmlns"] = "vcard-temp" }; { ["name"] = "FN"; ["attr"] = {}; "Alice" } };',
    "private": b"""return { ["storage:storage:bookmarks"] = { ["name"] = "storage"; ["attr"] = { ["xmlns"] = "storage:bookmarks" };
        { ["name"] = "conference"; ["attr"] = { ["jid"] = "garden@conference.example.org"; ["autojoin"] = "1" };
            { ["name"] = "nick"; ["attr"] = {}; "Al" } } };
        ["x:urn:x"] = { ["name"] = "x"; ["attr"] = { ["xmlns"] = "urn:x" }; "1 < 2" } };""",
    "blocklist": b'return { [false] = {}; ["spam@bad.example"] = true; ["worse.example"] = true };',
    "offline": b"""item({ ["name"] = "message"; ["attr"] = { ["from"] = "bob@example.org/x"; ["to"] = "alice@example.org"; ["type"] = "chat";
        ["id"] = "m1"; ["stamp"] = "2020-09-13T12:26:40Z" }; { ["name"] = "body"; ["attr"] = {}; "wake up" } });""",
    "archive": b"""item({ ["name"] = "message"; ["attr"] = { ["from"] = "alice@example.org/y"; ["to"] = "bob@example.org"; ["type"] = "chat" };
        ["when"] = 1600000000.25; ["with"] = "bob@example.org"; ["key"] = "k0"; { ["name"] = "body"; ["attr"] = {}; "hi" } });
    item({ ["name"] = "message"; ["attr"] = { ["from"] = "bob@example.org/x"; ["to"] = "alice@example.org"; ["type"] = "chat"; ["id"] = "m1" };
        ["when"] = 1600000001; ["with"] = "bob@example.org"; ["key"] = "k1"; { ["name"] = "body"; ["attr"] = {}; "wake up" };
        { ["name"] = "stanza-id"; ["attr"] = { ["xmlns"] = "urn:xmpp:sid:0"; ["by"] = "alice@example.org"; ["id"] = "k1" } } });""",
    "archive_prefs": b'return { [false] = "roster"; ["spam@bad.example"] = false };',
    "pep": b"""return { ["urn:xmpp:avatar:metadata"] = { ["name"] = "urn:xmpp:avatar:metadata"; ["subscribers"] = {};
        ["config"] = { ["access_model"] = "open"; ["max_items"] = 1; ["persist_items"] = true } } };""",
    "pep_urn:xmpp:avatar:metadata": b"""item({ ["name"] = "item"; ["attr"] = { ["id"] = "abc"; ["publisher"] = "alice@example.org/y" };
        ["when"] = 1600000002; ["key"] = "abc"; { ["name"] = "metadata"; ["attr"] = { ["xmlns"] = "urn:xmpp:avatar:metadata" } } });""",
    "firewall_marks": b"return {};",
}  # fmt: skip


def read(files: dict[str, bytes]) -> tuple[Person, list[str]]:
    found = list(prosody.person("Alice", "example.org", files))
    (alice,) = (one for one in found if isinstance(one, Person))
    return alice, [one.what for one in found if isinstance(one, Left)]


def test_a_person() -> None:
    alice, left = read(ALICE)
    (keys,) = alice.keys
    assert keys[:3] == ("SCRAM-SHA-1", 10000, b"s\xff")
    assert (alice.created, alice.card) == (1.6e9, b"<vCard xmlns='vcard-temp'><FN>Alice</FN></vCard>")
    contacts = {one.jid: one for one in alice.contacts}
    assert contacts["bob@example.org"][1:5] == ("Bob", ("Friends",), True, True)
    assert contacts["dave@far.example"].asked
    assert not contacts["carol@example.org"].listed
    request = contacts["carol@example.org"].request
    assert request is not None
    assert (request.kind, request.type, request.from_, request.to) == (
        "presence", "subscribe", "carol@example.org", "alice@example.org",
    )  # fmt: skip
    assert alice.blocked == ("spam@bad.example", "worse.example")
    assert alice.preferences == ("roster", (), ("spam@bad.example",))
    assert left == ["store firewall_marks", "contacts whose addresses are none"]


def test_what_waits_and_is_in_the_archive_is_one_message() -> None:
    alice, _ = read(ALICE)
    sent, came = alice.messages
    assert sent[2:] == ("bob@example.org", True, True, False)
    assert came[2:] == ("bob@example.org", False, True, True)
    assert came.stanza.inner == b"<body>wake up</body>"
    assert sent.stamp == 1600000000.25


def test_without_an_archive_what_waits_goes_there() -> None:
    alice, _ = read({name: data for name, data in ALICE.items() if name != "archive"})
    (waits,) = alice.messages
    assert waits[3:] == (False, True, True)
    assert waits.stamp == 1600000000.0


def test_old_bookmarks_become_items_and_nodes_keep_their_access() -> None:
    alice, _ = read(ALICE)
    nodes = {one.name: one for one in alice.nodes}
    (mark,) = nodes["urn:xmpp:bookmarks:1"].items
    assert mark.id == "garden@conference.example.org"
    assert b"<nick>Al</nick>" in mark.payload
    assert nodes["urn:xmpp:bookmarks:1"].config["access_model"] == "whitelist"
    avatar = nodes["urn:xmpp:avatar:metadata"]
    assert avatar.config["access_model"] == "open"
    assert avatar.items[0].published == 1600000002.0
    assert alice.private == (("urn:x", "x", b"<x xmlns='urn:x'>1 &lt; 2</x>"),)


def test_a_broken_file_costs_only_itself() -> None:
    alice, left = read(
        ALICE | {"roster": b"return os.exit()", "accounts": b'return { ["password"] = "se\\u{6b}ret" }'}
    )
    assert (alice.password, alice.keys, alice.contacts) == ("sekret", (), ())
    assert any(what.startswith("files that cannot be read: roster (line 1") for what in left)


def test_a_room() -> None:
    config = b"""return { ["_jid"] = "garden@conference.example.org"; ["bob@example.org"] = "owner"; ["evil.example"] = "outcast";
        ["_affiliation_data"] = { ["bob@example.org"] = { ["reserved_nickname"] = "Bob" } };
        ["_data"] = { ["name"] = "Garden"; ["persistent"] = true; ["hidden"] = true; ["whois"] = "anyone"; ["password"] = "pw";
            ["history_length"] = 5; ["subject"] = "Roses"; ["subject_from"] = "garden@conference.example.org/Bob"; ["odd"] = 1 } };"""
    log = b"""item({ ["name"] = "message"; ["attr"] = { ["from"] = "garden@conference.example.org/Bob"; ["type"] = "groupchat" };
        ["when"] = 1600000000; ["key"] = "k"; { ["name"] = "body"; ["attr"] = {}; "hello" } });"""
    left, made = room("garden", "conference.example.org", config, log)
    assert isinstance(left, Left)
    assert left.what == "setting odd of rooms"
    assert isinstance(made, Room)
    shown = made.config
    assert (shown.name, shown.persistent, shown.public, shown.non_anonymous) == ("Garden", True, False, True)
    assert (shown.secret, shown.password_protected, shown.max_history) == ("pw", True, 5)
    assert [(jid, entry.affiliation.label, entry.nick) for jid, entry in made.affiliates] == [
        ("bob@example.org", "owner", "Bob"),
        ("evil.example", "outcast", ""),
    ]
    assert made.subject.inner == b"<subject>Roses</subject>"
    (said,) = made.messages
    assert isinstance(said, Message)
    assert said.stanza.from_ == "garden@conference.example.org/Bob"
