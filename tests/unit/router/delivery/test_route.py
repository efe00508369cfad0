"""Messages and iqs through a whole router: RFC 6121 section 8.5, blocking, one acceptance each."""

from __future__ import annotations

import pytest
from tests.unit.router.rig import DOMAIN, Client, bodies, chat, condition, rig

from rookery.shared.bus.messages import NOBODY, Gate, Gated, Handle, Kind, Origin, Probe, Route, answering
from rookery.shared.config import Config, Limits, Router
from rookery.shared.xeps.delayed_delivery import delay
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element

BOB = f"bob@{DOMAIN}"
PING = Element("urn:xmpp:ping", "ping")


def iq(type: str, to: str, payload: Element | None = PING, id: str = "q1") -> Stanza:
    return Stanza.build("iq", *([] if payload is None else [payload]), type=type, to=to, id=id)


def errors(client: Client) -> list[str]:
    return [condition(one) for one in client.news() if one.type == "error"]


async def test_chat_to_a_bare_jid_reaches_the_best_resource_with_its_address_unchanged() -> None:
    async with rig() as it:
        alice = await it.online("alice")
        low, high = await it.online("bob", "low", 1), await it.online("bob", "high", 5)
        low.news()
        origin = alice.route(chat(BOB))
        await it.settle()
        assert bodies(high.news()) == ["hi"]
        assert high.taken[-1].stanza.to == BOB
        assert low.news() == []
        assert it.accepted(origin)
        assert (high.taken[-1].origin_stream, high.taken[-1].origin_n) == (alice.stream, origin.n)


async def test_equal_priorities_get_it_all_or_the_latest() -> None:
    for policy, expected in (("all", [["hi"], ["hi"]]), ("latest", [[], ["hi"]])):
        async with rig(Config(router=Router(equal_priority=policy))) as it:  # type: ignore[arg-type]
            alice, one, two = (
                await it.online("alice"),
                await it.online("bob", "1"),
                await it.online("bob", "2"),
            )
            one.news()
            alice.route(chat(BOB))
            await it.settle()
            assert [bodies(one.news()), bodies(two.news())] == expected


async def test_a_headline_reaches_every_non_negative_resource_and_is_never_stored() -> None:
    async with rig() as it:
        alice, shy = await it.online("alice"), await it.online("bob", "shy", -1)
        one, two = await it.online("bob", "1", 0), await it.online("bob", "2", 9)
        for client in (shy, one):
            client.news()
        alice.route(chat(BOB, type="headline"))
        it.account("carol")
        origin = alice.route(chat(f"carol@{DOMAIN}", type="headline"))
        await it.settle()
        assert [bodies(client.news()) for client in (shy, one, two)] == [[], ["hi"], ["hi"]]
        assert it.accepted(origin)
        assert it.store.waiting == []


@pytest.mark.parametrize("type", ["normal", "chat", "groupchat", "headline", "error", ""])
async def test_a_full_jid_that_is_bound_gets_every_type_even_without_presence(type: str) -> None:
    async with rig() as it:
        alice, bob = await it.online("alice"), await it.bind("bob")
        alice.route(chat(bob.full, type=type))
        await it.settle()
        assert bodies(bob.news()) == ["hi"]


@pytest.mark.parametrize(
    ("type", "to", "expected"),
    [
        ("groupchat", BOB, "service-unavailable"),
        ("groupchat", f"{BOB}/gone", "service-unavailable"),
        ("normal", f"{BOB}/gone", "service-unavailable"),
        ("chat", f"nobody@{DOMAIN}", "service-unavailable"),
        ("chat", f"nobody@{DOMAIN}/x", "service-unavailable"),
        ("error", f"nobody@{DOMAIN}", None),
        ("headline", f"nobody@{DOMAIN}", None),
        ("error", BOB, None),
        ("chat", "someone@elsewhere.example", "remote-server-not-found"),
        ("chat", DOMAIN, "service-unavailable"),
    ],
)
async def test_what_cannot_be_delivered_is_answered_once_or_ignored(
    type: str, to: str, expected: str | None
) -> None:
    async with rig() as it:
        alice, bob = await it.online("alice"), await it.online("bob")
        origin = alice.route(chat(to, type=type))
        await it.settle()
        assert errors(alice) == ([expected] if expected else [])
        assert bob.news() == []
        assert it.accepted(origin)
        assert it.store.waiting == []


async def test_a_chat_to_a_resource_that_is_gone_goes_to_the_account() -> None:
    async with rig() as it:
        alice, bob = await it.online("alice"), await it.online("bob")
        alice.route(chat(f"{BOB}/gone"))
        await it.settle()
        assert bodies(bob.news()) == ["hi"]


async def test_an_error_is_from_the_address_that_was_written_to() -> None:
    async with rig() as it:
        alice = await it.online("alice")
        alice.route(chat(f"nobody@{DOMAIN}", id="m1"))
        await it.settle()
        answer = alice.news()[0]
        assert (answer.from_, answer.to, answer.id, answer.type) == (
            f"nobody@{DOMAIN}",
            alice.full,
            "m1",
            "error",
        )


async def test_order_of_one_sender_is_kept() -> None:
    async with rig() as it:
        alice, bob = await it.online("alice"), await it.online("bob")
        for n in range(50):
            alice.route(chat(BOB, str(n)))
        await it.settle()
        assert bodies(bob.news()) == [str(n) for n in range(50)]


async def test_a_repeated_stanza_counts_once_and_is_accepted_again() -> None:
    async with rig() as it:
        alice, bob = await it.online("alice"), await it.online("bob")
        origin = alice.route(chat(BOB))
        await it.settle()
        alice.edge.accepted.clear()
        alice.route(chat(BOB), origin.n)
        await it.settle()
        assert bodies(bob.news()) == ["hi"]
        assert it.accepted(origin)


async def test_messages_to_oneself_and_without_an_address() -> None:
    async with rig() as it:
        one = await it.online("alice", "1", 1)
        two = await it.online("alice", "2", 5)
        one.news()
        for to in ("", f"alice@{DOMAIN}", two.full):
            one.submit(chat(to, to or "none"))
        await it.settle()
        assert bodies(two.news()) == ["none", f"alice@{DOMAIN}", two.full]
        assert {d.stanza.to for d in two.taken[-3:]} == {f"alice@{DOMAIN}", two.full}


async def test_marks_of_trust_forged_in_our_name_are_taken_out() -> None:
    async with rig() as it:
        alice, bob = await it.online("alice"), await it.online("bob")
        forged = (
            Element("urn:xmpp:sid:0", "stanza-id", {"by": BOB, "id": "1"}),
            delay(0.0, DOMAIN),
            Element("urn:xmpp:sid:0", "origin-id", {"id": "o"}),
            Element("urn:xmpp:sid:0", "stanza-id", {"by": "room@muc.example", "id": "2"}),
            delay(0.0, "room@muc.example"),
        )
        alice.route(
            Stanza.build(
                "message", *forged, Element("jabber:client", "body", {}, "x & y"), type="chat", to=BOB
            )
        )
        await it.settle()
        (got,) = bob.news()
        assert [(e.name, e.get("by") or e.get("from")) for e in got.elements()] == [
            ("origin-id", None),
            ("stanza-id", "room@muc.example"),
            ("delay", "room@muc.example"),
            ("body", None),
            ("stanza-id", BOB),
        ]
        assert tuple(got.payloads) == tuple((e.ns, e.name) for e in got.elements())
        assert bodies([got]) == ["x & y"]


# --- blocking (XEP-0191) -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stanza", "answer"),
    [
        (chat(BOB), ["service-unavailable"]),
        (chat(BOB, type="headline"), ["service-unavailable"]),
        (chat(BOB, type="error"), []),
        (iq("get", f"{BOB}/r"), ["service-unavailable"]),
        (iq("get", BOB), ["service-unavailable"]),
        (iq("result", f"{BOB}/r", None), []),
        (Stanza.build("presence", to=f"{BOB}/r"), []),
        (Stanza.build("presence", type="probe", to=BOB), []),
        (Stanza.build("presence", type="subscribe", to=BOB), []),
    ],
)
async def test_a_blocked_contact_sees_somebody_who_is_offline(stanza: Stanza, answer: list[str]) -> None:
    async with rig() as it:
        it.account("bob")
        it.db.blocked[BOB] = [f"alice@{DOMAIN}"]
        alice, bob = await it.online("alice"), await it.online("bob")
        it.seen(Kind.PRESENCE), it.seen(Kind.ROSTER)
        origin = alice.route(stanza)
        await it.settle()
        assert errors(alice) == answer
        assert bob.news() == []
        assert it.store.waiting == []
        assert it.accepted(origin)
        assert it.seen(Kind.PRESENCE, Probe) == it.seen(Kind.ROSTER, Handle) == []


@pytest.mark.parametrize("entry", [BOB, f"{BOB}/r", DOMAIN, f"{DOMAIN}/r"])
async def test_what_goes_to_a_blocked_contact_is_refused(entry: str) -> None:
    async with rig() as it:
        it.account("alice")
        it.db.blocked[f"alice@{DOMAIN}"] = [entry]
        alice, bob = await it.online("alice"), await it.online("bob")
        assert alice.own_first
        for stanza in (chat(f"{BOB}/r"), iq("get", f"{BOB}/r"), Stanza.build("presence", to=f"{BOB}/r")):
            origin = alice.submit(stanza)
            await it.settle()
            (answer,) = alice.news()
            assert condition(answer) == "not-acceptable"
            error = answer.find("jabber:client", "error")
            assert error is not None
            assert error.find("urn:xmpp:blocking:errors", "blocked") is not None
            assert it.accepted(origin)
        assert bob.news() == []


async def test_with_a_block_list_others_are_still_reached_through_the_own_router() -> None:
    async with rig() as it:
        it.account("alice")
        it.db.blocked[f"alice@{DOMAIN}"] = ["mallory@example.org"]
        alice, bob = await it.online("alice"), await it.online("bob")
        origins = [alice.submit(chat(BOB)), alice.submit(iq("get", bob.full))]
        await it.settle()
        assert [one.kind for one in bob.news()] == ["message", "iq"]
        assert all(it.accepted(origin) for origin in origins)


async def test_nobody_blocks_their_own_resources() -> None:
    async with rig() as it:
        it.account("alice")
        it.db.blocked[f"alice@{DOMAIN}"] = [DOMAIN, f"alice@{DOMAIN}"]
        one, two = await it.online("alice", "1", 0), await it.online("alice", "2", 5)
        one.submit(chat(two.full))
        await it.settle()
        assert bodies(two.news()) == ["hi"]


async def test_a_new_block_list_counts_at_once_and_the_edge_learns_it() -> None:
    async with rig() as it:
        alice, bob = await it.online("alice"), await it.online("bob")
        it.db.blocked[BOB] = [f"alice@{DOMAIN}"]
        assert not bob.own_first
        await it.change("bob", "blocklist")
        assert bob.own_first
        alice.route(chat(BOB))
        await it.settle()
        assert errors(alice) == ["service-unavailable"]
        it.db.blocked[BOB] = []
        await it.change("bob", "blocklist")
        alice.route(chat(BOB, "again"))
        await it.settle()
        assert bodies(bob.news()) == ["again"]
        assert not bob.own_first


# --- iq ------------------------------------------------------------------------------------------------------------------


async def test_iq_between_full_jids_there_and_back() -> None:
    async with rig() as it:
        alice, bob = await it.online("alice"), await it.online("bob")
        alice.route(iq("get", bob.full))
        await it.settle()
        (request,) = bob.news()
        bob.route(request.result())
        await it.settle()
        (answer,) = alice.news()
        assert (answer.type, answer.id, answer.from_) == ("result", "q1", bob.full)


@pytest.mark.parametrize("to", ["", f"alice@{DOMAIN}", DOMAIN])
async def test_the_server_answers_a_ping(to: str) -> None:
    async with rig() as it:
        alice = await it.online("alice")
        origin = alice.submit(iq("get", to))
        await it.settle()
        (answer,) = alice.news()
        assert (answer.type, answer.from_, answer.to) == ("result", to, alice.full)
        assert it.accepted(origin)


@pytest.mark.parametrize(
    ("stanza", "expected"),
    [
        (iq("get", "", Element("urn:x", "unheard-of")), "service-unavailable"),
        (iq("get", DOMAIN, Element("urn:x", "unheard-of")), "service-unavailable"),
        (iq("get", "", None), "bad-request"),
        (Stanza.build("iq", PING, PING, type="get", to=DOMAIN, id="q"), "bad-request"),
        (iq("get", f"{DOMAIN}/x"), "service-unavailable"),
        (iq("get", "elsewhere.example"), "remote-server-not-found"),
        (iq("get", f"{BOB}/gone"), "service-unavailable"),
        (iq("get", f"nobody@{DOMAIN}", Element("urn:x", "unheard-of")), "service-unavailable"),
        (iq("get", f"nobody@{DOMAIN}", Element("jabber:iq:roster", "query")), "forbidden"),
        (iq("get", BOB, Element("jabber:iq:roster", "query")), "forbidden"),
        (iq("get", f"nobody@{DOMAIN}/x"), "service-unavailable"),
    ],
)
async def test_a_request_that_nobody_can_serve_is_answered(stanza: Stanza, expected: str) -> None:
    async with rig() as it:
        it.account("bob")
        alice = await it.online("alice")
        bare = stanza.to.partition("/")[0]
        local = "@" in bare and bare.endswith(DOMAIN)
        origin = alice.route(stanza) if local else alice.submit(stanza)
        await it.settle()
        assert errors(alice) == [expected]
        assert it.accepted(origin)


async def test_a_request_to_nobody_goes_the_way_of_one_to_somebody_else() -> None:
    """Neither its answer nor its time tells which accounts exist."""
    async with rig() as it:
        it.account("bob")
        alice = await it.online("alice")
        it.seen(Kind.PRESENCE)
        for to in (BOB, f"nobody@{DOMAIN}"):
            alice.route(iq("get", to))
            alice.route(iq("get", to, Element("vcard-temp", "vCard")))
            alice.route(Stanza.build("presence", type="probe", to=to))
            await it.settle()
            assert [type(item) for item in it.seen(Kind.PRESENCE, Gate, Probe)] == [Gate, Probe]
            assert [type(item) for item in it.seen(Kind.ACCOUNT, Handle)] == [Handle]


async def test_answers_and_errors_of_the_server_come_in_the_order_of_the_requests() -> None:
    """RFC 6120 section 10.1."""
    async with rig() as it:
        alice = await it.online("alice")
        for n in range(40):
            payload = (PING, Element("urn:x", "unheard-of"), None)[n % 3]
            alice.submit(iq("get", DOMAIN if n % 2 else "", payload).replace(id=f"q{n}"))
        await it.settle()
        assert [answer.id for answer in alice.news()] == [f"q{n}" for n in range(40)]


@pytest.mark.parametrize("type", ["result", "error"])
async def test_answers_to_nobody_are_ignored(type: str) -> None:
    async with rig() as it:
        alice = await it.online("alice")
        origins = [
            alice.submit(iq(type, "", None)),
            alice.submit(iq(type, DOMAIN, None)),
            alice.route(iq(type, f"{BOB}/gone", None)),
        ]
        await it.settle()
        assert alice.news() == []
        assert all(it.accepted(origin) for origin in origins)


async def test_a_roster_request_goes_to_its_worker_and_marks_the_session() -> None:
    async with rig() as it:
        alice = await it.online("alice")
        it.seen(Kind.ROSTER)
        query = Element("jabber:iq:roster", "query")
        origin = alice.submit(iq("get", "", query))
        await it.settle()
        (handle,) = it.seen(Kind.ROSTER, Handle)
        assert (handle.account, handle.full, handle.outbound) == (alice.bare, alice.full, True)
        assert not it.accepted(origin)
        session = (
            it.router.core.parts[it.edge().node.partition(alice.bare)]
            .accounts[alice.bare]
            .resources.by_resource["r"]
        )
        assert session.marks == ("interested",)
        assert alice.note


async def test_a_subscribers_only_request_passes_the_gate_first() -> None:
    async with rig() as it:
        alice, bob = await it.online("alice"), await it.online("bob")
        it.seen(Kind.PRESENCE)
        items = Element("http://jabber.org/protocol/disco#items", "query")
        origin = alice.route(iq("get", BOB, items))
        await it.settle()
        (gate,) = it.seen(Kind.PRESENCE, Gate)
        assert (gate.account, gate.origin.n, alice.news()) == (BOB, origin.n, [])
        node = it.workers[Kind.PRESENCE]
        node.bus.post(Kind.ROUTER, node.partition(BOB), Gated(gate.origin, BOB, gate.stanza))
        await it.settle()
        # The pubsub worker adds the nodes of the account.
        (handle,) = it.seen(Kind.PUBSUB, Handle)
        query = handle.stanza.find(items.ns, "query")
        assert query is not None
        assert [item.get("jid") for item in query.elements()] == [bob.full]
        assert (handle.account, handle.stanza.to, handle.stanza.type) == (BOB, alice.full, "result")
        assert (handle.origin.n, alice.news()) == (origin.n, [])


async def test_last_activity_of_somebody_who_is_online_needs_no_worker() -> None:
    async with rig() as it:
        alice = await it.online("alice")
        alice.submit(iq("get", "", Element("jabber:iq:last", "query")))
        await it.settle()
        (answer,) = alice.news()
        assert answer.type == "result"
        assert it.seen(Kind.ACCOUNT, Handle) == []


async def test_a_request_of_a_session_that_died_is_answered() -> None:
    async with rig() as it:
        alice, bob = await it.online("alice"), await it.online("bob")
        alice.route(iq("get", bob.full))
        await it.settle()
        bob.unbind()
        await it.settle()
        assert errors(alice) == ["service-unavailable"]


async def test_what_a_dead_session_asked_itself_is_not_answered_to_its_successor() -> None:
    async with rig() as it:
        old = await it.online("alice")
        old.route(iq("get", old.full))
        await it.settle()
        new = await it.bind("alice")
        await it.settle()
        assert new.full == old.full
        assert new.news() == []


# --- accounts and faults ----------------------------------------------------------------------------------------------------


async def test_accounts_are_loaded_once_and_together() -> None:
    async with rig() as it:
        alice = await it.online("alice")
        before = it.db.loads
        it.account("bob")
        for n in range(20):
            alice.route(chat(BOB, str(n)))
        await it.settle()
        assert it.db.loads == before + 1
        assert len(it.store.waiting) == 20


async def test_absence_is_believed_for_a_while_only() -> None:
    async with rig() as it:
        alice = await it.online("alice")
        alice.route(chat(BOB))
        await it.settle()
        before = it.db.loads
        alice.route(chat(BOB))
        await it.settle()
        assert (it.db.loads, errors(alice)) == (before, ["service-unavailable"] * 2)
        it.account("bob")
        it.now += 6
        alice.route(chat(BOB))
        await it.settle()
        assert errors(alice) == []
        assert len(it.store.waiting) == 1


async def test_a_new_account_is_known_at_once() -> None:
    async with rig() as it:
        alice = await it.online("alice")
        alice.route(chat(BOB))
        await it.settle()
        it.account("bob")
        await it.change("bob", "created")
        alice.route(chat(BOB))
        await it.settle()
        assert len(it.store.waiting) == 1


async def test_without_postgres_online_users_talk_and_the_rest_waits_unaccepted() -> None:
    async with rig() as it:
        alice, bob = await it.online("alice"), await it.online("bob")
        it.account("carol")
        it.db.up = False
        live, waits = alice.route(chat(BOB)), alice.route(chat(f"carol@{DOMAIN}"))
        await it.settle()
        assert bodies(bob.news()) == ["hi"]
        assert (it.accepted(live), it.accepted(waits)) == (True, False)


async def test_a_poison_stanza_fails_alone(caplog: pytest.LogCaptureFixture) -> None:
    async with rig() as it:
        alice, bob = await it.online("alice"), await it.online("bob")
        payloads = (("urn:xmpp:delay", "delay"),)
        poison = Stanza("message", "chat", BOB, "", "p", "", (), payloads, b"<delay xmlns='urn:xmpp:delay'>")
        origin = alice.route(poison)
        after = alice.route(chat(BOB))
        await it.settle()
        assert errors(alice) == ["internal-server-error"]
        assert bodies(bob.news()) == ["hi"]
        assert it.accepted(origin)
        assert it.accepted(after)
        assert it.router.core.count.failed == 1


async def test_messages_of_the_server_itself_need_no_acceptance() -> None:
    async with rig() as it:
        bob = await it.online("bob")
        it.edge().post(BOB, Route(NOBODY, chat(BOB).replace(from_=DOMAIN)))
        await it.settle()
        assert bodies(bob.news()) == ["hi"]
        assert (b"", 0) not in it.edge().accepted


async def test_a_stream_without_its_grant_must_bind_again_but_its_message_counts() -> None:
    async with rig() as it:
        alice, bob = await it.online("alice"), await it.online("bob")
        alice.grant += 7
        message, request = alice.submit(chat(BOB)), alice.submit(iq("get", ""))
        await it.settle()
        assert [(end.condition, end.stream) for end in alice.ends] == [("reset", alice.stream)] * 2
        assert bodies(bob.news()) == ["hi"]
        assert it.accepted(message)
        assert it.accepted(request)


async def test_the_limit_of_waiting_items_is_told() -> None:
    async with rig(Config(limits=Limits(uncommitted_stanzas=2048))) as it:
        alice = await it.online("alice")
        it.account("bob")
        it.db.up = False
        origins = [alice.route(chat(BOB, str(n))) for n in range(1005)]
        await it.settle()
        assert errors(alice) == ["resource-constraint"] * 5
        assert [it.accepted(origin) for origin in origins] == [False] * 1000 + [True] * 5


async def test_an_account_that_cannot_be_read_answers_what_waited() -> None:
    async with rig() as it:
        alice = await it.online("alice")
        it.account("bob")
        fetch, it.db.fetch = it.db.fetch, None  # type: ignore[method-assign, assignment]
        origin = alice.route(chat(BOB))
        await it.settle()
        assert errors(alice) == ["internal-server-error"]
        assert it.accepted(origin)
        it.db.fetch = fetch  # type: ignore[method-assign]
        alice.route(chat(BOB))
        await it.settle()
        assert len(it.store.waiting) == 1


async def test_an_answer_is_given_once_whoever_gives_it_again() -> None:
    async with rig() as it:
        alice = await it.online("alice")
        worker = it.workers[Kind.ROSTER]

        async def answer(origin: Origin, type: str) -> list[str]:
            stanza = Stanza.build("iq", type=type, id="q", from_=alice.bare, to=alice.full)
            partition = worker.partition(alice.bare)
            worker.bus.post(Kind.ROUTER, partition, Route(answering(origin), stanza))
            await it.settle()
            return [one.type for one in alice.news()]

        one, two = alice.origin(), alice.origin()
        assert await answer(one, "result") == ["result"]
        assert await answer(one, "result") == []
        assert await answer(one, "error") == []
        assert await answer(two, "error") == ["error"], "a client may use an id again"
        await it.start_router("router2")
        assert await answer(two, "error") == [], "the mirror knows what was given"
        assert await answer(NOBODY, "result") == await answer(NOBODY, "result") == ["result"]


async def test_a_request_that_comes_again_to_a_new_holder_is_answered_once() -> None:
    async with rig() as it:
        alice, _ = await it.online("alice"), await it.online("bob")
        for turn, to in enumerate(("", DOMAIN, f"{BOB}/nobody")):
            request = iq("get", to)
            send = alice.route if "/" in to else alice.submit
            origin = send(request)
            await it.settle()
            assert len(alice.news()) == 1
            await it.start_router(f"router{turn + 2}")
            send(request, origin.n)
            await it.settle()
            assert it.accepted(origin)
            assert alice.news() == []


async def test_an_answer_to_what_a_component_asked_for_a_user_goes_to_the_component() -> None:
    """XEP-0356 section 6.3: the answer comes to the bare address of the user, who need not be there."""
    async with rig() as it:
        irc = f"irc.{DOMAIN}"
        it.db.domains.append(irc)
        it.db.kinds[irc] = "component"
        it.workers[Kind.COMPONENT] = it.cluster.node("component1", Kind.COMPONENT)
        it.router.domains.reader.refresh()
        it.account("bob")
        alice = await it.online("alice")
        await it.settle()
        for type in ("result", "error"):
            origin = alice.route(iq(type, BOB, None, id=f"privileged:{irc}/sealed"))
            await it.settle()
            assert it.accepted(origin)
        told = [item.stanza for item in it.seen(Kind.COMPONENT, Route)]
        assert [(one.type, one.from_, one.to) for one in told] == [
            (type, alice.full, irc) for type in ("result", "error")
        ]
        for id in ("q1", "privileged:/x", f"privileged:{DOMAIN}/x", "privileged:nobody.example/x"):
            alice.route(iq("result", BOB, None, id=id))
        await it.settle()
        assert it.seen(Kind.COMPONENT, Route) == []
