"""Credentials, registration, stored data and blocking, as the edges and the router see them."""

from __future__ import annotations

import pytest
import trio

from rookery.shared.bus.messages import (
    AccountChanged,
    AskPuzzle,
    CheckLogin,
    Credentials,
    Domains,
    Done,
    GetCredentials,
    GetDomains,
    Handle,
    IssueToken,
    Item,
    Kind,
    LastSeen,
    LoggedIn,
    LoginChecked,
    Puzzled,
    Register,
    Route,
    ToResources,
)
from rookery.shared.config import Account, Config
from rookery.shared.db.api import Connection, Database
from rookery.shared.xeps import blocking, captcha, last_activity, private_xml, registration, vcard_temp
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.parse import parse_element
from rookery.shared.xmpp.sasl.keys import verify_plain
from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.account import challenges, policies, store

from .people import ALICE, BOB, EVE, PHONE, People, changed, delivered, of, people, pushes, sent_presence

DESK = f"{BOB}/desk"
CHEAP = Config(account=Account(iterations=4096))


async def call(world: People, request: Item, account: str = ALICE) -> Item:
    bus = world.edge.bus
    answers: list[Item | StanzaError] = []

    async def ask() -> None:
        try:
            answers.append(await bus.call(Kind.ACCOUNT, world.edge.partition(account), request, timeout=10))
        except StanzaError as exc:
            answers.append(exc)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        with trio.fail_after(20):
            while not answers:
                world.cluster.network.settle()
                await trio.sleep(0.001)
    if isinstance(answers[0], StanzaError):
        raise answers[0]
    return answers[0]


def condition(answer: Stanza) -> str:
    assert answer.type == "error"
    return next(answer.elements()[0].elements()).name


# --- credentials ------------------------------------------------------------------------------------------------------


async def test_credentials_of_users_and_of_nobody(database: Database) -> None:
    async with people(database, CHEAP) as world:
        real = await call(world, GetCredentials(ALICE, "SCRAM-SHA-256-PLUS"))
        assert real == Credentials(ALICE, True, b"salt", 4096, b"stored", b"server", ("SCRAM-SHA-1",))
        ghost = await call(world, GetCredentials("ghost@one.org", "PLAIN"))
        assert isinstance(ghost, Credentials)
        assert not ghost.exists
        assert (len(ghost.salt), len(ghost.stored_key), ghost.iterations) == (16, 32, 4096)
        assert await call(world, GetCredentials("ghost@one.org", "PLAIN")) == ghost
        # An account without keys of this mechanism is nobody for it.
        other = await call(world, GetCredentials(ALICE, "SCRAM-SHA-1"))
        assert isinstance(other, Credentials)
        assert not other.exists


async def test_a_certificate_opens_an_account_that_is_there_and_open(database: Database) -> None:
    """XEP-0178: the edge has verified it."""
    async with people(database) as world:

        async def enter(account: str, domain: str = "one.org") -> object:
            return await call(world, CheckLogin(domain, account, "EXTERNAL", ""))

        assert await enter(ALICE) == LoginChecked(ALICE)
        assert await enter("ghost@one.org") == LoginChecked(failed="not-authorized")
        assert await enter(ALICE, "two.org") == LoginChecked(failed="not-authorized")
        local = ALICE.partition("@")[0]
        await database.run(0, lambda conn: store.set_disabled(conn, local, "one.org", True))
        assert await enter(ALICE) == LoginChecked(failed="account-disabled")


async def test_guesses_at_one_account_are_slowed_down_wherever_they_come_from(database: Database) -> None:
    async with people(database, CHEAP) as world:

        async def ask(address: str) -> object:
            return await call(world, GetCredentials(ALICE, "PLAIN", address))

        began = trio.current_time()
        for n in range(10):
            assert isinstance(await ask(f"198.51.100.{n}"), Credentials)
        assert isinstance(await ask("198.51.100.77"), Credentials)
        assert trio.current_time() - began >= 0.25
        assert isinstance(await ask(""), Credentials), "no limit is for this one"
        # Somebody who has logged in from there does not wait, however many guess elsewhere.
        world.post(Kind.ACCOUNT, ALICE, LoggedIn(ALICE, "192.0.2.1"))
        for _ in range(12):
            world.services[-1].pacing.guesses.pause(ALICE, "203.0.113.99", trio.current_time())  # type: ignore[attr-defined]
        with pytest.raises(StanzaError, match="resource-constraint"):
            await ask("203.0.113.99")
        assert isinstance(await ask("192.0.2.1"), Credentials)
        # Nor does a client that holds a token, wherever it is.
        agent = "d4565fa7-4d72-4749-b3d3-740edbf87770"
        with pytest.raises(StanzaError, match="resource-constraint"):
            await call(world, GetCredentials(ALICE, "PLAIN", "203.0.113.99", agent))
        await call(world, IssueToken(ALICE, agent, "HT-SHA-256-NONE", b"salt", "", ""))
        assert isinstance(
            await call(world, GetCredentials(ALICE, "PLAIN", "203.0.113.99", agent)), Credentials
        )


async def test_domains(database: Database) -> None:
    async with people(database) as world:

        async def contacts(conn: Connection) -> None:
            await store.put_domain(conn, "one.org", contacts={"abuse-addresses": ["mailto:abuse@one.org"]})

        await database.run(0, contacts)
        assert await call(world, GetDomains()) == Domains(
            (("one.org", True, (("abuse-addresses", ("mailto:abuse@one.org",)),)), ("two.org", False, ()))
        )


async def test_kinds_of_domains_are_told_and_others_than_accounts_register_nobody(database: Database) -> None:
    async with people(database, CHEAP) as world:
        await database.run(
            0, lambda conn: store.put_domain(conn, "rooms.org", registration=True, kind="rooms")
        )
        answer = await call(world, GetDomains())
        assert isinstance(answer, Domains)
        assert [name for name, _, _ in answer.domains] == ["one.org", "rooms.org", "two.org"]
        assert list(answer.kinds) == ["accounts", "rooms", "accounts"]
        with pytest.raises(StanzaError, match="not-allowed"):
            await call(world, Register("rooms.org", "carol", "secret", "", "192.0.2.1"))


async def test_a_domain_that_asks_lets_those_in_who_answer_once(database: Database) -> None:
    async with people(database, CHEAP) as world:
        said = policies.Changes(captcha=challenges.settings("question", ["Which colour has the sky?=blue"]))
        await database.run(0, lambda conn: policies.change(conn, "one.org", said))
        told = await call(world, GetDomains())
        assert isinstance(told, Domains)
        assert told.puzzles == ("one.org",)
        assert await call(world, AskPuzzle("two.org")) == Puzzled("")
        puzzle = await call(world, AskPuzzle("one.org"))
        assert isinstance(puzzle, Puzzled)
        assert puzzle.question == "Which colour has the sky?"

        async def register(name: str, *answer: str) -> object:
            return await call(
                world,
                Register("one.org", name, "secret", "", "192.0.2.1", "", answer or ("", "", "")),
                f"{name}@one.org",
            )

        for answer in ((), (puzzle.id, "red", ""), ("x", "blue", "")):
            with pytest.raises(StanzaError, match="not-acceptable") as refused:
                await register("carol", *answer)
            assert refused.value.app == captcha.REFUSED
        # A name that is taken costs no other question.
        with pytest.raises(StanzaError, match="conflict"):
            await register("alice", puzzle.id, "blue", "")
        assert await register("carol", puzzle.id, "Blue!", "") == Done()
        with pytest.raises(StanzaError, match="answered already"):
            await register("dave", puzzle.id, "blue", "")


# --- registration before login (XEP-0077) -----------------------------------------------------------------------------


async def test_registration(database: Database) -> None:
    async with people(database, CHEAP) as world:
        assert await call(world, Register("one.org", "Carol", "secret", "c@mail", "192.0.2.1")) == Done()
        assert changed(world.take()) == [("carol@one.org", "created")]
        keys = await call(world, GetCredentials("carol@one.org", "PLAIN"))
        assert isinstance(keys, Credentials)
        assert verify_plain("secret", keys)
        assert not verify_plain("Secret", keys)


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (Register("two.org", "carol", "secret", "", "192.0.2.1"), "not-allowed"),
        (Register("nowhere.org", "carol", "secret", "", "192.0.2.1"), "not-allowed"),
        (Register("one.org", "ALICE", "secret", "", "192.0.2.1"), "conflict"),
        (Register("one.org", "car ol", "secret", "", "192.0.2.1"), "not-acceptable"),
        (Register("one.org", "", "secret", "", "192.0.2.1"), "not-acceptable"),
        (Register("one.org", "carol", "", "", "192.0.2.1"), "not-acceptable"),
        (Register("one.org", "carol", "a\0b", "", "192.0.2.1"), "not-acceptable"),
        (Register("one.org", "carol", "secret", "x" * 400, "192.0.2.1"), "not-acceptable"),
    ],
)
async def test_registration_is_refused_by_name(database: Database, request_: Register, expected: str) -> None:
    async with people(database, CHEAP) as world:
        with pytest.raises(StanzaError) as caught:
            await call(world, request_)
        assert caught.value.condition == expected


async def test_one_network_registers_so_many_accounts_an_hour(database: Database) -> None:
    config = Config(account=Account(iterations=4096), registration=registration.Options(per_hour=2))
    async with people(database, config) as world:
        for n in range(2):
            await call(world, Register("one.org", f"u{n}", "secret", "", f"2001:db8::{n}"))
        with pytest.raises(StanzaError) as caught:
            await call(world, Register("one.org", "u2", "secret", "", "2001:db8::ffff"))
        assert (caught.value.condition, caught.value.type) == ("resource-constraint", "wait")
        await call(world, Register("one.org", "u2", "secret", "", "2001:db8:0:1::1"))


async def test_registrations_at_the_same_time_keep_the_limit(database: Database) -> None:
    config = Config(account=Account(iterations=4096), registration=registration.Options(per_hour=3))
    async with people(database, config) as world:
        conditions: list[str] = []

        async def one(n: int) -> None:
            try:
                await call(world, Register("one.org", f"race{n}", "secret", "", f"2001:db8::{n}"))
            except StanzaError as exc:
                conditions.append(exc.condition)

        async with trio.open_nursery() as nursery:
            for n in range(12):
                nursery.start_soon(one, n)
        made = await database.run(
            0, lambda conn: conn.fetchval("SELECT count(*) FROM account WHERE localpart LIKE 'race%'")
        )
        assert made == 3
        assert conditions == ["resource-constraint"] * 9


@pytest.mark.parametrize("ip", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
async def test_exempt_networks_register_without_a_limit(database: Database, ip: str) -> None:
    config = Config(account=Account(iterations=4096), registration=registration.Options(per_hour=1))
    async with people(database, config) as world:
        for n in range(3):
            assert await call(world, Register("one.org", f"u{n}", "secret", "", ip)) == Done()


# --- registration after login -----------------------------------------------------------------------------------------

REGISTER = "<query xmlns='jabber:iq:register'>{}</query>"


async def test_what_is_on_file(database: Database) -> None:
    async with people(database) as world:
        for to in ("", "one.org", ALICE):
            answer = await world.iq(Kind.ACCOUNT, REGISTER.format(""), to=to)
            assert b"<registered/><username>alice</username><password/>" in answer.inner
        assert condition(await world.iq(Kind.ACCOUNT, REGISTER.format(""), to="two.org")) == "not-allowed"


async def test_a_password_change(database: Database) -> None:
    async with people(database, CHEAP) as world:
        form = REGISTER.format("<username>Alice</username><password>new</password>")
        assert (await world.iq(Kind.ACCOUNT, form, "set", to="one.org")).type == "result"
        assert AccountChanged(ALICE, "password", PHONE) in world.take()
        keys = await call(world, GetCredentials(ALICE, "SCRAM-SHA-1"))
        assert isinstance(keys, Credentials)
        assert verify_plain("new", keys)
        for fields, expected in [
            ("<username>bob</username><password>new</password>", "not-allowed"),
            ("<username>alice</username><password/>", "bad-request"),
            ("<password>new</password>", "bad-request"),
            ("<remove/><username>alice</username>", "bad-request"),
        ]:
            answer = await world.iq(Kind.ACCOUNT, REGISTER.format(fields), "set")
            assert condition(answer) == expected
            assert b"new" not in answer.inner


async def test_nobody_registers_for_another(database: Database) -> None:
    async with people(database) as world:
        for type, fields in (("get", ""), ("set", "<remove/>")):
            answer = await world.iq(Kind.ACCOUNT, REGISTER.format(fields), type, to=BOB, own=False)
            assert condition(answer) == "service-unavailable"


async def test_removal_ends_everything_and_tells_everybody(database: Database) -> None:
    async with people(database) as world:
        for subscriber, contact in ((ALICE, BOB), (BOB, ALICE), (EVE, ALICE)):
            await world.presence(f"{subscriber}/x", "subscribe", contact)
            if subscriber != EVE:
                await world.presence(f"{contact}/x", "subscribed", subscriber)
        world.take()
        origin = world.origin()
        answer = await world.iq(Kind.ACCOUNT, REGISTER.format("<remove/>"), "set", origin=origin)
        assert answer.type == "result"
        items = world.take()
        assert (ALICE, "removed") in changed(items)
        assert pushes(items, BOB) == [f"<item jid='{ALICE}' subscription='none'/>"]
        assert ("available", "unavailable", ALICE) in delivered(items, BOB)
        assert ("interested", "unsubscribed", ALICE) in delivered(items, BOB)
        assert pushes(items, EVE) == [f"<item jid='{ALICE}' subscription='none'/>"]
        gone = await call(world, GetCredentials(ALICE, "PLAIN"))
        assert isinstance(gone, Credentials)
        assert not gone.exists
        # The edge that did not hear of it asks again, and another worker.
        world.succeed()
        assert (
            await world.iq(Kind.ACCOUNT, REGISTER.format("<remove/>"), "set", origin=origin)
        ).type == "result"


async def test_the_answer_of_a_removal_comes_before_the_end_of_the_session(database: Database) -> None:
    async with people(database) as world:
        iq = Stanza.build(
            "iq", parse_element(REGISTER.format("<remove/>").encode()), type="set", from_=PHONE, id="1"
        )
        world.post(Kind.ACCOUNT, ALICE, Handle(world.origin(), ALICE, PHONE, True, iq))
        await world.rest()
        kinds = [type(item) for item in world.take()]
        assert kinds.index(Route) < kinds.index(AccountChanged)


# --- what users keep --------------------------------------------------------------------------------------------------


async def test_vcards_are_public_but_only_ours_can_be_changed(database: Database) -> None:
    async with people(database, Config(vcard_temp=vcard_temp.Options(max_bytes=200))) as world:
        card = "<vCard xmlns='vcard-temp'><FN>Alice &amp; co</FN></vCard>"
        empty = "<vCard xmlns='vcard-temp'/>"
        assert condition(await world.iq(Kind.ACCOUNT, empty)) == "item-not-found"
        # (stored here; the keeper of the account's nodes answers, once it has the new form of the card)
        iq = Stanza.build("iq", parse_element(card.encode()), type="set", from_=PHONE, id="card")
        world.post(Kind.ACCOUNT, ALICE, Handle(world.origin(), ALICE, PHONE, True, iq))
        await world.rest()
        assert (await world.iq(Kind.ACCOUNT, empty)).inner == card.encode()
        seen = await world.iq(Kind.ACCOUNT, empty, full=DESK, to=ALICE, own=False)
        assert (seen.inner, seen.from_) == (card.encode(), ALICE)
        answer = await world.iq(Kind.ACCOUNT, card, "set", full=DESK, to=ALICE, own=False)
        assert condition(answer) == "service-unavailable"
        # No card and no account answer alike (XEP-0054 section 3.3).
        for account in (EVE, "ghost@one.org"):
            answer = await world.iq(Kind.ACCOUNT, empty, to=account, own=False)
            assert condition(answer) == "service-unavailable"
        large = f"<vCard xmlns='vcard-temp'><FN>{'x' * 200}</FN></vCard>"
        assert condition(await world.iq(Kind.ACCOUNT, large, "set")) == "policy-violation"
        assert (await world.iq(Kind.ACCOUNT, empty)).inner == card.encode()


async def test_private_xml(database: Database) -> None:
    async with people(database, Config(private_xml=private_xml.Options(max_bytes=200))) as world:
        query = "<query xmlns='jabber:iq:private'>{}</query>"
        nothing = query.format("<exodus xmlns='exodus:prefs'/>")
        assert (await world.iq(Kind.ACCOUNT, nothing)).inner == nothing.encode()
        data = query.format("<exodus xmlns='exodus:prefs'><nick xmlns='urn:n'>A</nick></exodus>")
        assert (await world.iq(Kind.ACCOUNT, data, "set")).type == "result"
        assert (await world.iq(Kind.ACCOUNT, nothing)).inner == data.encode()
        assert (await world.iq(Kind.ACCOUNT, nothing, full=DESK)).inner == nothing.encode()
        for payload, type, expected in [
            (query.format(""), "get", "bad-request"),
            (query.format("<a xmlns='urn:a'/><b xmlns='urn:b'/>"), "get", "bad-request"),
            (query.format("<a/>"), "set", "not-acceptable"),
            (query.format(f"<a xmlns='urn:a'>{'x' * 200}</a>"), "set", "resource-constraint"),
        ]:
            assert condition(await world.iq(Kind.ACCOUNT, payload, type)) == expected
        stranger = await world.iq(Kind.ACCOUNT, nothing, full=DESK, to=ALICE, own=False)
        assert condition(stranger) == "service-unavailable"


async def test_last_activity(database: Database) -> None:
    async with people(database) as world:
        query = "<query xmlns='jabber:iq:last'/>"
        assert condition(await world.iq(Kind.ACCOUNT, query)) == "item-not-found"
        world.post(Kind.ACCOUNT, ALICE, LastSeen(ALICE, 1_600_000_000_000, "Heading Home"))
        await world.rest()
        answer = await world.iq(Kind.ACCOUNT, query, full=DESK, to=ALICE, own=False)
        (last,) = answer.elements()
        assert last.text == "Heading Home"
        assert int(last.get("seconds") or 0) > 100_000_000
        # Only the newest counts, in whatever order they come; those of others are written along.
        for account, at, status in (
            (ALICE, 1_600_000_300_000, "third"),
            (ALICE, 1_600_000_200_000, "second"),
            (BOB, 1_600_000_100_000, "bob"),
            ("nobody@one.org", 1_600_000_100_000, "nobody"),
        ):
            world.post(Kind.ACCOUNT, account, LastSeen(account, at, status))
        await world.rest()
        for account, status in ((ALICE, "third"), (BOB, "bob")):
            (last,) = (await world.iq(Kind.ACCOUNT, query, full=DESK, to=account, own=False)).elements()
            assert last.text == status


async def test_last_activity_is_written_without_being_asked_for(database: Database) -> None:
    async with people(database) as world:
        world.post(Kind.ACCOUNT, ALICE, LastSeen(ALICE, 1_600_000_000_000, "Heading Home"))
        await world.rest()
        with trio.fail_after(10):
            while await database.run(0, lambda conn: _status(conn, ALICE)) != "Heading Home":  # noqa: ASYNC110
                await trio.sleep(0.05)


async def _status(conn: Connection, account: str) -> str:
    return str(
        await conn.fetchval("SELECT last_status FROM account WHERE localpart || '@' || domain = $1", account)
    )


# --- blocking (XEP-0191) ----------------------------------------------------------------------------------------------

BLOCK = "<block xmlns='urn:xmpp:blocking'>{}</block>"
UNBLOCK = "<unblock xmlns='urn:xmpp:blocking'>{}</unblock>"
LIST = "<blocklist xmlns='urn:xmpp:blocking'/>"


async def test_blocking_hides_the_account_and_unblocking_shows_it(database: Database) -> None:
    async with people(database) as world:
        await world.presence(DESK, "subscribe", ALICE)
        await world.presence(PHONE, "subscribed", BOB)
        world.take()
        items = f"<item jid='{BOB}'/><item jid='two.org'/>"
        for _ in range(2):  # a repetition has the same effects
            assert (await world.iq(Kind.ACCOUNT, BLOCK.format(items), "set")).inner == b""
            got = world.take()
            assert sent_presence(got) == [(ALICE, BOB, False)]
            assert changed(got) == [(ALICE, "blocklist")]
            (push,) = of(got, ToResources)
            assert (push.which, push.stanza.inner) == ("blocklist", BLOCK.format(items).encode())
            # Unavailable first: once the router knows of the block it lets nothing out.
            assert [type(item).__name__ for item in got][:2] == ["SendPresence", "AccountChanged"]
        answer = await world.iq(Kind.ACCOUNT, LIST)
        assert answer.inner == f"<blocklist xmlns='urn:xmpp:blocking'>{items}</blocklist>".encode()

        await world.iq(Kind.ACCOUNT, UNBLOCK.format("<item jid='two.org'/>"), "set")
        assert sent_presence(world.take()) == []
        await world.iq(Kind.ACCOUNT, UNBLOCK.format(""), "set")
        got = world.take()
        assert sent_presence(got) == [(ALICE, BOB, True)]
        assert of(got, ToResources)[0].stanza.inner == b"<unblock xmlns='urn:xmpp:blocking'/>"
        assert (await world.iq(Kind.ACCOUNT, LIST)).inner == LIST.encode()


async def test_what_is_still_covered_stays_hidden(database: Database) -> None:
    async with people(database) as world:
        await world.presence(DESK, "subscribe", ALICE)
        await world.presence(PHONE, "subscribed", BOB)
        await world.iq(Kind.ACCOUNT, BLOCK.format(f"<item jid='{BOB}'/><item jid='one.org'/>"), "set")
        world.take()
        await world.iq(Kind.ACCOUNT, UNBLOCK.format(f"<item jid='{BOB}'/>"), "set")
        assert sent_presence(world.take()) == []


async def test_blocking_is_refused_by_name(database: Database) -> None:
    async with people(database, Config(blocking=blocking.Options(max_items=1))) as world:
        for items, expected in [
            ("", "bad-request"),
            ("<item/>", "jid-malformed"),
            (f"<item jid='{ALICE}'/>", "not-allowed"),
            ("<item jid='a@x'/><item jid='b@x'/>", "resource-constraint"),
        ]:
            assert condition(await world.iq(Kind.ACCOUNT, BLOCK.format(items), "set")) == expected
        stranger = await world.iq(Kind.ACCOUNT, LIST, full=DESK, to=ALICE, own=False)
        assert condition(stranger) == "service-unavailable"
        assert (await world.iq(Kind.ACCOUNT, LIST)).inner == LIST.encode()


async def test_a_payload_of_nobody(database: Database) -> None:
    async with people(database) as world:
        assert condition(await world.iq(Kind.ACCOUNT, "<x xmlns='urn:x'/>")) == "service-unavailable"


async def test_the_operator_says_who_may_register_and_with_what(database: Database) -> None:
    options = registration.Options(nets=("192.0.2.0/24", "2001:db8::/32"), password_min=8)
    async with people(database, Config(account=Account(iterations=4096), registration=options)) as world:
        for ip, password, expected in (
            ("198.51.100.1", "long enough", "not-allowed"),
            ("::ffff:198.51.100.1", "long enough", "not-allowed"),
            ("192.0.2.7", "7 chars", "not-acceptable"),
        ):
            with pytest.raises(StanzaError) as caught:
                await call(world, Register("one.org", "nadia", password, "", ip))
            assert caught.value.condition == expected
        await call(world, Register("one.org", "nadia", "long enough", "", "::ffff:192.0.2.7"))
        await call(world, Register("one.org", "omar", "long enough", "", "2001:db8::1"))
        changed_ = REGISTER.format("<username>alice</username><password>7 chars</password>")
        assert condition(await world.iq(Kind.ACCOUNT, changed_, "set")) == "not-acceptable"


async def test_the_operator_says_how_much_of_a_status_is_kept(database: Database) -> None:
    options = last_activity.Options(status_max=7, write_seconds=0.0)
    async with people(database, Config(last_activity=options)) as world:
        world.post(Kind.ACCOUNT, ALICE, LastSeen(ALICE, 1_600_000_000_000, "Heading Home"))
        await world.rest()
        with trio.fail_after(10):
            while await database.run(0, lambda conn: _status(conn, ALICE)) != "Heading":  # noqa: ASYNC110
                await trio.sleep(0.02)
