"""Questions about keys: how many are under way, and for whom."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio
import trio.testing

from rookery.workers.s2s.streams import verifying
from rookery.workers.s2s.streams.dialback import Key, Pair
from rookery.workers.s2s.streams.verifying import Verifier

OURS = "b.example"


class Asked(Verifier):
    """Asks nobody: a question ends with `outcome` when `end` is set."""

    def __init__(self, nursery: trio.Nursery) -> None:
        def spawn(task: Callable[[], Awaitable[object]]) -> None:
            nursery.start_soon(task)

        super().__init__(None, spawn)  # type: ignore[arg-type]
        self.questions: list[str] = []
        self.end = trio.Event()
        self.outcome: bool | None = None

    async def _question(self, key: Key) -> bool | None:
        self.questions.append(key.pair.sender)
        await self.end.wait()
        return self.outcome

    def show(self, domain: str, host: str) -> list[bool | None]:
        """A host shows a key of a domain; returns where the word comes."""
        said: list[bool | None] = []
        self.ask(Key(Pair(domain, OURS), "id", "key"), host, said.append)
        return said


async def settle() -> None:
    for _ in range(3):
        await trio.testing.wait_all_tasks_blocked()


async def test_one_host_does_not_keep_others_from_being_asked_about(autojump_clock: object) -> None:
    async with trio.open_nursery() as nursery:
        asked = Asked(nursery)
        answers = [asked.show(f"s{number}.example", "192.0.2.1") for number in range(200)]
        await settle()
        assert len(asked.questions) == verifying.QUESTIONS_HOST
        assert answers[-1] == [None]
        honest = asked.show("good.example", "192.0.2.2")
        asked.outcome = True
        asked.end.set()
        await settle()
        assert honest == [True]
        assert asked.skipped == 200 - verifying.QUESTIONS_HOST


async def test_one_domain_is_asked_a_few_things_at_once(autojump_clock: object) -> None:
    async with trio.open_nursery() as nursery:
        asked = Asked(nursery)
        for number in range(50):
            asked.show("victim.example", f"192.0.2.{number}")
        await settle()
        assert len(asked.questions) == verifying.QUESTIONS_EACH
        asked.end.set()


async def test_a_domain_that_could_not_be_asked_has_pauses_that_double(autojump_clock: object) -> None:
    async with trio.open_nursery() as nursery:
        asked = Asked(nursery)
        asked.end.set()
        for _ in range(600):
            asked.show("away.example", "192.0.2.1")
            await settle()
            await trio.sleep(0.5)
        assert len(asked.questions) < 12, "five minutes of keys, two a second"
        asked.outcome = False
        await trio.sleep(verifying.LONGEST_PAUSE)
        before = len(asked.questions)
        for _ in range(3):
            assert asked.show("away.example", "192.0.2.1") == []
            await settle()
        assert len(asked.questions) == before + 3, "it has answered: it is asked again"
