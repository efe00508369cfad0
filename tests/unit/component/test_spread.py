"""Which connection of a component gets which stanza: in order for each sender, whatever ends in between."""

from __future__ import annotations

import random

from rookery.shared.xmpp.stanza import Stanza
from rookery.workers.component.spread import Key, Sending, Spread

A, B, C = ("p1", 1), ("p2", 1), ("p2", 2)


def stanza(sender: str, id: str) -> Stanza:
    return Stanza.build("message", from_=f"{sender}@here/x", to="bot@there", id=id)


def test_one_sender_stays_on_one_connection_while_something_is_under_way() -> None:
    spread = Spread()
    spread.add(A)
    first = spread.send(stanza("ann", "0"))
    for key in (B, C):
        spread.add(key)
    later = [spread.send(stanza("ann", str(n))) for n in range(1, 6)]
    assert [first.n, *(one.n for one in later)] == [1, 2, 3, 4, 5, 6]
    assert {one.key for one in later} == {A}


def test_senders_are_spread() -> None:
    spread = Spread()
    for key in (A, B, C):
        spread.add(key)
    used = [spread.send(stanza(f"u{n}", "x")).key for n in range(300)]
    assert all(used.count(key) > 60 for key in (A, B, C))


def test_acknowledgements_count_from_the_beginning_without_gaps() -> None:
    spread = Spread()
    spread.add(A)
    one = spread.send(stanza("ann", "1"))
    spread.add(B)
    senders = (f"u{n}" for n in range(100))
    other = next(sent for name in senders if (sent := spread.send(stanza(name, "2"))).key == B)
    assert not spread.acked(B, other.n)
    assert spread.handled == 0
    assert spread.acked(A, one.n)
    assert spread.handled >= 1
    assert not spread.acked(("gone", 9), 5)


def test_what_was_under_way_goes_to_another_connection_in_order() -> None:
    spread = Spread()
    spread.add(A)
    for n in range(5):
        spread.send(stanza("ann", str(n)))
    spread.acked(A, 2)
    spread.add(B)
    again = spread.remove(A)
    assert [(one.key, one.n, one.stanza.id) for one in again] == [(B, 1, "2"), (B, 2, "3"), (B, 3, "4")]
    assert spread.acked(B, 3)
    assert spread.handled == 5
    assert spread.remove(B) == []
    assert not spread


def test_any_history_keeps_the_order_of_each_sender_and_loses_nothing() -> None:
    chance = random.Random(7)
    for _ in range(200):
        spread = Spread()
        spread.add(("p0", 0))
        keys: list[Key] = [("p0", 0)]
        wire: dict[Key, list[Sending]] = {}
        got: dict[str, list[int]] = {}
        count = 0

        def deliver(
            key: Key, upto: int, wire: dict[Key, list[Sending]] = wire, got: dict[str, list[int]] = got
        ) -> None:
            while wire.get(key) and wire[key][0].n <= upto:
                one = wire[key].pop(0)
                got.setdefault(one.stanza.from_, []).append(int(one.stanza.id))

        for step in range(80):
            match chance.randrange(4):
                case 0 | 1:
                    sent = spread.send(stanza(f"u{chance.randrange(4)}", str(count)))
                    wire.setdefault(sent.key, []).append(sent)
                    count += 1
                case 2:
                    key = chance.choice(keys)
                    if wire.get(key):
                        upto = chance.choice(wire[key]).n
                        deliver(key, upto)
                        spread.acked(key, upto)
                case _:
                    if len(keys) > 1 and chance.random() < 0.5:
                        key = keys.pop(chance.randrange(len(keys)))
                        wire.pop(key, None)
                        for sent in spread.remove(key):
                            wire.setdefault(sent.key, []).append(sent)
                    else:
                        keys.append((f"q{step}", step))
                        spread.add(keys[-1])
        for key in keys:
            if wire.get(key):
                last = wire[key][-1].n
                deliver(key, last)
                spread.acked(key, last)
        assert spread.handled == count
        assert sum(map(len, got.values())) == count
        assert all(numbers == sorted(numbers) for numbers in got.values())
