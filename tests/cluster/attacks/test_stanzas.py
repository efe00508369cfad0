"""Addressing and spoofing: RFC 6120 section 8, RFC 6121."""

from __future__ import annotations

import pytest
from tests.cluster.people import People, bare, error_of, refused
from tests.stories.elements import serialise

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

_PING = "<ping xmlns='urn:xmpp:ping'/>"


FORGED = {
    "other user": "{other}",
    "other user's account": "{other_bare}",
    "own account": "{own_bare}",
    "own other resource": "{own_bare}/elsewhere",
    "server": "localhost",
    "foreign": "a@b.example/c",
    "malformed": "@@",
}


@pytest.mark.parametrize("sender", FORGED.values(), ids=FORGED.keys())
async def test_from_is_never_believed(people: People, sender: str) -> None:
    one, other, victim = await people.bound(), await people.bound(), await people.bound()
    forged = sender.format(other=other.jid, other_bare=bare(other), own_bare=bare(one))
    for kind in ("message", "presence"):
        await one.send_raw(f"<{kind} from='{forged}' to='{victim.jid}' id='{kind}'/>")
    await one.send_raw(f"<iq from='{forged}' to='{victim.jid}' type='get' id='iq'>{_PING}</iq>")
    try:
        assert (await one.ping()).get("type") == "result"
    except Exception:
        assert await refused(one) == "invalid-from"
    assert (await other.ping()).get("type") == "result"
    assert (await victim.ping(bare(victim))).get("type") == "result"
    assert {node.get("from") for node in victim.inbox} <= {one.jid}
    assert not other.inbox


BAD_IQS = {
    "no id": f"<iq type='get'>{_PING}</iq>",
    "empty id": f"<iq type='get' id=''>{_PING}</iq>",
    "no type": f"<iq id='q'>{_PING}</iq>",
    "unknown type": f"<iq type='foo' id='q'>{_PING}</iq>",
    "upper case": f"<iq type='GET' id='q'>{_PING}</iq>",
    "no child": "<iq type='get' id='q'/>",
    "no child in set": "<iq type='set' id='q'/>",
    "two children": f"<iq type='get' id='q'>{_PING}{_PING}</iq>",
}


@pytest.mark.parametrize("iq", BAD_IQS.values(), ids=BAD_IQS.keys())
@pytest.mark.parametrize(
    "to", ["", " to='localhost'", " to='{victim}'"], ids=["account", "server", "resource"]
)
async def test_malformed_iqs(people: People, iq: str, to: str) -> None:
    client, victim = await people.bound(), await people.bound()
    await client.send_raw(iq.replace("<iq", "<iq" + to.format(victim=victim.jid), 1))
    answer = await client.receive()
    assert error_of(answer) == "bad-request"
    assert answer.tag == "{jabber:client}iq"
    assert (await victim.ping()).get("type") == "result"
    assert not victim.inbox
    assert (await client.ping()).get("type") == "result"
    assert not client.inbox


ANSWERS = [
    "<iq type='result' id='q' to='{to}'/>",
    "<iq type='error' id='q' to='{to}'><error type='cancel'/></iq>",
    "<message type='error' id='q' to='{to}'><error type='cancel'/></message>",
    "<presence type='error' id='q' to='{to}'><error type='cancel'/></presence>",
]


@pytest.mark.parametrize("answer", ANSWERS, ids=["result", "iq error", "message error", "presence error"])
@pytest.mark.parametrize(
    "to", ["localhost", "nobody-at-all@localhost", "{absent}", "{absent}/gone", "a@nowhere.invalid", "{own}"]
)
async def test_answers_are_never_answered(people: People, answer: str, to: str) -> None:
    client = await people.bound()
    absent, _ = people.account()
    address = to.format(absent=f"{absent}@localhost", own=bare(client))
    await client.send_raw(answer.format(to=address))
    assert (await client.ping()).get("type") == "result"
    assert (await client.ping("localhost")).get("type") == "result"
    assert (await client.ping(f"{absent}@localhost")).get("type") in ("result", "error")
    assert not client.inbox, serialise(client.inbox[0])


async def test_errors_do_not_bounce(people: People) -> None:
    one, other = await people.online(), await people.online()
    error = "<message type='error' to='{to}' id='e'><error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>"
    await one.send_raw(error.format(to=other.jid))
    assert (await other.receive()).get("type") == "error"
    await other.drop()
    await one.send_raw(error.format(to=other.jid))
    assert (await one.ping()).get("type") == "result"
    assert (await one.ping(bare(other))).get("type") in ("error", "result")
    assert not one.inbox


async def test_a_forged_push_changes_nothing(people: People) -> None:
    one, victim = await people.bound(), await people.online()
    item = "<query xmlns='jabber:iq:roster'><item jid='evil@localhost' subscription='both'/></query>"
    for to in (victim.jid, bare(victim)):
        await one.send_raw(f"<iq type='set' id='p' to='{to}'>{item}</iq>")
    roster = await victim.request("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>")
    assert len(roster[0]) == 0
    assert {node.get("from") for node in victim.inbox} <= {one.jid}


async def test_nobody_writes_anothers_roster(people: People) -> None:
    one, victim = await people.bound(), await people.online()
    item = "<query xmlns='jabber:iq:roster'><item jid='evil@localhost' ask='subscribe' subscription='both' approved='true'/></query>"
    answer = await one.request(f"<iq type='set' id='p' to='{bare(victim)}'>{item}</iq>")
    assert error_of(answer) in {"forbidden", "not-allowed", "service-unavailable"}
    answer = await victim.request(f"<iq type='set' id='p' to='{bare(victim)}'>{item}</iq>")
    assert answer.get("type") == "result"
    roster = await victim.request("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>")
    assert [dict(node.attrib) for node in roster[0]] == [{"jid": "evil@localhost", "subscription": "none"}]


@pytest.mark.parametrize("type", ["subscribed", "unsubscribed", "unsubscribe"])
async def test_unasked_answers_change_nothing(people: People, type: str) -> None:
    one, victim = await people.online(), await people.online()
    await one.send_raw(f"<presence to='{bare(victim)}' type='{type}'/>")
    assert (await one.ping()).get("type") == "result"
    assert (await one.ping(bare(victim))).get("type") in ("error", "result")
    roster = await victim.request("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>")
    assert len(roster[0]) == 0
    assert not victim.inbox


@pytest.mark.parametrize("by", ["localhost", "{victim}"], ids=["server", "account"])
async def test_forged_stanza_ids_are_removed(people: People, by: str) -> None:
    one, victim = await people.bound(), await people.bound()
    forged = f"<stanza-id xmlns='urn:xmpp:sid:0' by='{by.format(victim=bare(victim))}' id='forged'/>"
    kept = "<stanza-id xmlns='urn:xmpp:sid:0' by='elsewhere.example' id='kept'/>"
    await one.send(f"<message to='{victim.jid}' id='m'><body>x</body>{forged}{kept}{forged}</message>")
    got = await victim.receive()
    ids = [node.get("id") for node in got.iter("{urn:xmpp:sid:0}stanza-id")]
    assert "forged" not in ids
    assert "kept" in ids


@pytest.mark.parametrize(
    "to",
    [
        "unknown-host.invalid",
        "a@unknown-host.invalid",
        "a@unknown-host.invalid/r",
        "192.0.2.1",
        "a@[2001:db8::1]",
    ],
)
async def test_unknown_hosts(people: People, to: str) -> None:
    client = await people.bound()
    for kind, extra in (("message", ""), ("iq", f" type='get'>{_PING}</iq")):
        await client.send_raw(f"<{kind} to='{to}' id='{kind}'" + (f"{extra}>" if extra else "/>"))
        answer = await client.receive()
        assert answer.get("id") == kind
        assert error_of(answer) == "remote-server-not-found"
        assert answer.get("from") == to


async def test_unknown_users_all_look_alike(people: People) -> None:
    client = await people.bound()
    absent, _ = people.account()
    shapes = set()
    for name in ("nobody-1", "nobody-2"):
        await client.send(f"<message to='{name}@localhost' type='chat' id='m'><body>x</body></message>")
        shapes.add(serialise(await client.receive()).replace(name, "X"))
    assert len(shapes) == 1
    answers = {error_of(await client.ping(f"{name}@localhost/r")) for name in ("nobody-1", absent)}
    assert answers == {"service-unavailable"}


QUERIES = {
    "disco": "<query xmlns='http://jabber.org/protocol/disco#info'/>",
    "items": "<query xmlns='http://jabber.org/protocol/disco#items'/>",
    "last": "<query xmlns='jabber:iq:last'/>",
    "roster": "<query xmlns='jabber:iq:roster'/>",
    "private": "<query xmlns='jabber:iq:private'><a xmlns='u:a'/></query>",
    "blocklist": "<blocklist xmlns='urn:xmpp:blocking'/>",
    "register": "<query xmlns='jabber:iq:register'/>",
    "unknown": "<query xmlns='urn:example:unknown'/>",
    "version": "<query xmlns='jabber:iq:version'/>",
    "time": "<time xmlns='urn:xmpp:time'/>",
    "vcard": "<vCard xmlns='vcard-temp'/>",
}


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES.keys())
async def test_strangers_learn_nothing(people: People, query: str) -> None:
    client, other = await people.bound(), await people.online()
    absent, _ = people.account()
    shapes = set()
    for address in (bare(other), f"{absent}@localhost", "nobody-at-all@localhost"):
        answer = await client.request(f"<iq type='get' id='q' to='{address}'>{query}</iq>")
        # XEP-0030 section 8: the items of an account that is not shared are an empty list, for all the same.
        assert answer.get("type") == ("result" if query == QUERIES["items"] else "error")
        shapes.add(serialise(answer).replace(address, "X"))
    assert len(shapes) == 1, shapes
    assert (await other.ping()).get("type") == "result"
    assert not other.inbox


async def test_a_probe_of_a_stranger_says_nothing(people: People) -> None:
    client, other = await people.bound(), await people.online()
    absent, _ = people.account()
    for address in (bare(other), f"{absent}@localhost", "nobody-at-all@localhost"):
        await client.send(f"<presence type='probe' to='{address}'/>")
        await client.ping()
        await client.ping(address)
    shapes = {node.get("type") for node in client.inbox}
    assert shapes in (set(), {"unsubscribed"})


async def test_an_unknown_type_of_message_is_normal(people: People) -> None:
    one, other = await people.online(), await people.online()
    await one.send(f"<message type='foo' to='{bare(other)}' id='m'><body>x</body></message>")
    assert (await other.receive()).get("id") == "m"


PRIORITIES = ["128", "-129", "1.0", "1e1", "+1", " ", "", "１", "1_0", "9" * 300, "0x1"]


@pytest.mark.parametrize("priority", PRIORITIES)
async def test_wrong_priorities(people: People, priority: str) -> None:
    client = await people.bound()
    await client.send(f"<presence id='p'><priority>{priority}</priority></presence>")
    await client.ping()
    answers = [node for node in client.inbox if node.tag == "{jabber:client}presence"]
    assert len(answers) == 1
    assert error_of(answers[0]) in {"bad-request", ""}
    if priority.strip() not in ("", "+1"):
        assert error_of(answers[0]) == "bad-request"


async def test_offline_storage_has_an_end(people: People) -> None:
    one = await people.bound()
    account = people.account()
    address = f"{account[0]}@localhost"
    total, limit = 1010, 1000
    for start in range(0, total, 101):
        await one.send_raw(
            "".join(
                f"<message type='chat' to='{address}' id='{n}'><body>x</body></message>"
                for n in range(start, start + 101)
            )
        )
        await one.ping(address)
    refusals = [
        node for node in one.inbox if error_of(node) in {"service-unavailable", "resource-constraint"}
    ]
    assert len(refusals) == total - limit
    assert {int(node.get("id", "")) for node in refusals} == set(range(limit, total))
    absent = await people.bound(account)
    await absent.send("<presence/>")
    got: list[str | None] = []
    while len(got) < limit:
        node = await absent.receive()
        if node.tag == "{jabber:client}message":
            got.append(node.get("id"))
    assert got == [str(n) for n in range(limit)]
