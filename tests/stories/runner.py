"""Run a story against a target.

Nothing here sleeps. A receive waits for the next stanza of that client. "receives: nothing" is proven by barriers: requests that
travel the ways a stray stanza would have taken, and whose answers must come first.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from xml.etree.ElementTree import Element

import trio
from tests.stories import match
from tests.stories.client import Client, Mode, StreamEndError
from tests.stories.elements import CLIENT, fragments, serialise
from tests.stories.parser import Step, Story, read
from tests.stories.targets import DOMAIN, Prosody, Target, UnavailableError

#: Seconds that one receive may take; a loaded test machine is slow, a lost stanza is lost.
TIMEOUT = float(os.environ.get("STORY_TIMEOUT", "15"))
_PING = "{urn:xmpp:ping}ping"
_BARRIER = "barrier-"
#: After one of these the roster may still be changing.
_SUBSCRIPTION = ("subscribe", "subscribed", "unsubscribe", "unsubscribed")
_PING_XML = "<ping xmlns='urn:xmpp:ping'/>"
_ROSTER_XML = "<query xmlns='jabber:iq:roster'/>"
_DISCO_XML = "<query xmlns='http://jabber.org/protocol/disco#info'/>"


class StoryError(AssertionError):
    """A step did not go as the script says."""


class Actor:
    """A character: its account and, while it is connected, its client."""

    def __init__(self, name: str, properties: dict[str, str], user: str, password: str) -> None:
        self.name = name
        jid, _, resource = properties["jid"].partition("/")
        self.scripted = jid
        self.domain = jid.partition("@")[2]
        self.user, self.password = user, password
        self.bare = f"{user}@{self.domain}"
        self.resource = properties.get("resource") or resource or None
        self.mode: Mode = properties.get("transport", "starttls")  # type: ignore[assignment]
        self.client: Client | None = None
        self.full = f"{self.bare}/{self.resource}" if self.resource else ""
        #: Barrier requests that wait for an answer.
        self.asked: set[str] = set()


class Performance:
    """One run of one story."""

    def __init__(
        self, story: Story, target: Target, nursery: trio.Nursery, *, any_order: bool, loose: bool
    ) -> None:
        self._story = story
        self._target = target
        self._nursery = nursery
        self._any_order = any_order
        self._loose = loose
        self._captures: dict[str, str] = {}
        self._barriers = 0
        self._unsettled: Actor | None = None
        self._subscribed = False
        self._observer: Actor | None = None
        self._connections = 0
        accounts: dict[str, tuple[str, str]] = {}
        self.actors: dict[str, Actor] = {}
        for name, properties in story.characters.items():
            bare = properties["jid"].partition("/")[0]
            if bare not in accounts:
                accounts[bare] = target.account(bare.partition("@")[2])
            self.actors[name] = Actor(name, properties, *accounts[bare])
        # Scripts also write the addresses of their characters out.
        self._rename = {
            scripted: f"{user}@{scripted.partition('@')[2]}" for scripted, (user, _) in accounts.items()
        }

    async def play(self) -> None:
        """All steps, then the proof that nothing else came. Raises StoryError."""
        steps = self._story.steps
        index = 0
        while index < len(steps):
            run = [steps[index]]
            if self._any_order and _expects(steps[index]):
                while index + len(run) < len(steps) and _expects(steps[index + len(run)]):
                    run.append(steps[index + len(run)])
            index += len(run)
            for name in dict.fromkeys(step.actor for step in run):
                mine = [step for step in run if step.actor == name]
                try:
                    await self._do(self.actors[name], mine)
                except StreamEndError as exc:
                    raise self._failure(mine[0], f"the stream of {name} has ended") from exc

    async def rest(self) -> None:
        """Assert that nothing more came to anyone still connected. Raises StoryError."""
        await self._barrier()
        for actor in self.actors.values():
            if actor.client is not None and actor.client.inbox:
                got = serialise(actor.client.inbox[0])
                raise StoryError(
                    f"{self._story.path}: at the end: {actor.name} got what the story does not tell:\n  {got}"
                )

    async def close(self) -> None:
        """Let all connections go."""
        for actor in (*self.actors.values(), self._observer):
            if actor is not None and actor.client is not None:
                await actor.client.drop()

    # -- steps -----------------------------------------------------------------------------------------------------

    async def _do(self, actor: Actor, steps: list[Step]) -> None:
        step = steps[0]
        if step.verb not in ("receives", "may receive", "is disconnected"):
            await self._settle(actor)
        match step.verb:
            case "connects":
                await self._connect(actor, step)
            case "sends":
                for node in fragments(self._text(step)):
                    await self._client(actor, step).send(node)
                    self._unsettled = actor
                    self._subscribed = node.get("type", "") in _SUBSCRIPTION
            case "receives" if step.body == "nothing":
                await self._nothing(actor, step)
            case "receives" | "may receive":
                await self._receive(actor, steps)
            case "disconnects":
                if actor.client is not None:
                    await actor.client.disconnect()
                actor.client = None
            case "drops":
                await self._client(actor, step).drop()
                actor.client = None
            case "is disconnected":
                try:
                    await self._client(actor, step).wait_end(TIMEOUT)
                except trio.TooSlowError as exc:
                    raise self._failure(step, "the server keeps the stream open") from exc
                await self._client(actor, step).drop()
                actor.client = None

    async def _settle(self, actor: Actor) -> None:
        """What another character has sent is done with before this one acts: a script is a sequence, a cluster is not."""
        last = self._unsettled
        if last is not None and (last is not actor or self._subscribed):
            self._unsettled, self._subscribed = None, False
            await self._barrier()

    async def _connect(self, actor: Actor, step: Step) -> None:
        endpoint = self._target.endpoint(self._connections, actor.mode)
        self._connections += 1
        client = actor.client = Client(endpoint, actor.domain)
        with trio.fail_after(60):
            actor.full = await client.login(actor.user, actor.password, actor.resource)

        habit = self._target.filter()

        def hook(node: Element) -> bool:
            if not (self._loose or "unfiltered" in self._story.tags) and habit(node):
                return True
            if node.tag != f"{{{CLIENT}}}iq" or not node.get("id", "").startswith(_BARRIER):
                return False
            if node.get("type") != "get":
                return node.get("id") not in actor.asked  # else taken by whoever asked
            sender = node.get("from")
            if len(node) and node[0].tag == _PING and sender:
                answer = Element(
                    f"{{{CLIENT}}}iq", {"type": "result", "to": sender, "id": node.get("id", "")}
                )
                self._nursery.start_soon(_send, client, answer)
            return True

        client.hook = hook
        self._nursery.start_soon(client.run)

    async def _receive(self, actor: Actor, steps: list[Step]) -> None:
        client = self._client(actor, steps[0])
        missing = list(steps)
        aside: list[Element] = []
        reasons: list[str] = []
        while must := [step for step in missing if step.verb == "receives"]:
            step = must[0]
            try:
                got = await client.receive(TIMEOUT)
            except (trio.TooSlowError, StreamEndError) as exc:
                what = "the stream ended" if isinstance(exc, StreamEndError) else f"{actor.name} got nothing"
                seen = "".join(f"\n  put aside: {serialise(node)}" for node in aside)
                raise self._failure(step, f"{what}; expected:\n  {step.body}{seen}") from exc
            reasons = []
            for candidate in missing:
                (expected,) = fragments(self._text(candidate))
                reason = match.difference(expected, got, self._captures)
                if reason is None:
                    missing.remove(candidate)
                    break
                reasons.append(f"line {candidate.line}: {reason}\n  expected: {serialise(expected)}")
            else:
                if not self._loose:
                    raise self._failure(step, "\n".join([*reasons, f"  got:      {serialise(got)}"]))
                aside.append(got)
        client.inbox.extendleft(reversed(aside))
        if missing:
            await self._barrier()
        for step in missing:
            (expected,) = fragments(self._text(step))
            for got in client.inbox:
                if match.difference(expected, got, self._captures) is None:
                    client.inbox.remove(got)
                    break

    async def _nothing(self, actor: Actor, step: Step) -> None:
        client = self._client(actor, step)
        await self._barrier()
        if client.inbox:
            raise self._failure(step, f"{actor.name} got:\n  {serialise(client.inbox[0])}")

    async def _barrier(self) -> None:
        """Requests whose answers come after all that is under way.

        First everyone pings: then the server has what they sent. An observer's requests to every account follow: one that the
        account's roster must judge, one that needs a subscription; both are refused, after what came before them. A change can
        go from account to account and back, so three rounds. Last, everyone pings everyone's resource: that takes the way of
        whatever is still to be delivered.
        """
        everyone = [
            actor for actor in self.actors.values() if actor.client is not None and not actor.client.ended
        ]
        async with trio.open_nursery() as nursery:
            for one in everyone:
                nursery.start_soon(self._ask, one, None, _PING_XML)
        observer = await self._watching()
        for _ in range(3):
            async with trio.open_nursery() as nursery:
                for bare in {actor.bare for actor in self.actors.values()}:
                    nursery.start_soon(self._ask, observer, bare, _ROSTER_XML)
                    nursery.start_soon(self._ask, observer, bare, _DISCO_XML)
        async with trio.open_nursery() as nursery:
            for one in (*everyone, observer):
                for other in everyone:
                    nursery.start_soon(self._ask, one, other.full, _PING_XML)

    async def _watching(self) -> Actor:
        if self._observer is None:
            observer = Actor("the observer", {"jid": f"observer@{DOMAIN}"}, *self._target.account(DOMAIN))
            observer.client = Client(self._target.endpoint(0, observer.mode), DOMAIN)
            with trio.fail_after(60):
                await observer.client.login(observer.user, observer.password)
            self._nursery.start_soon(observer.client.run)
            self._observer = observer
        return self._observer

    async def _ask(self, actor: Actor, to: str | None, payload: str) -> None:
        assert actor.client is not None
        self._barriers += 1
        (node,) = fragments(f"<iq type='get' id='{_BARRIER}{self._barriers}'>{payload}</iq>")
        if to:
            node.set("to", to)
        id = node.attrib["id"]
        actor.asked.add(id)
        try:
            await actor.client.send(node)
            await actor.client.answer(id)
        except StreamEndError:
            return
        except trio.TooSlowError as exc:
            raise StoryError(f"{self._story.path}: no answer to {serialise(node)} of {actor.name}") from exc
        finally:
            actor.asked.discard(id)

    # -- helpers ---------------------------------------------------------------------------------------------------

    def _client(self, actor: Actor, step: Step) -> Client:
        if actor.client is None:
            raise self._failure(step, f"{actor.name} is not connected")
        return actor.client

    def _text(self, step: Step) -> str:
        values = dict(self._captures)
        for name, actor in self.actors.items():
            values[f"{name}'s JID"] = actor.bare
            values[f"{name}'s username"] = actor.user
            values[f"{name}'s password"] = actor.password
            if actor.full:
                values[f"{name}'s full JID"] = actor.full
        body = step.body
        for scripted, real in self._rename.items():
            body = re.sub(rf"(?<![\w.-]){re.escape(scripted)}(?![\w.-])", real, body)
        try:
            return match.substitute(body, values)
        except KeyError as exc:
            raise self._failure(step, f"unknown variable {exc}") from exc

    def _failure(self, step: Step, text: str) -> StoryError:
        return StoryError(f"{self._story.path}:{step.line}: {step.actor} {step.verb}: {text}")


def _expects(step: Step) -> bool:
    return step.verb == "may receive" or (step.verb == "receives" and step.body != "nothing")


async def _send(client: Client, node: Element) -> None:
    try:
        await client.send(node)
    except StreamEndError:
        return


async def perform(
    story: Story, target: Target, *, any_order: bool | None = None, loose: bool = False
) -> None:
    """Run a story; unless `loose`, what comes besides what it tells is a failure. Raises StoryError."""
    any_order = story.tags.get("order") == "any" if any_order is None else any_order
    try:
        async with trio.open_nursery() as nursery:
            performance = Performance(story, target, nursery, any_order=any_order, loose=loose)
            try:
                await performance.play()
                if not loose:
                    await performance.rest()
            finally:
                with trio.CancelScope(shield=True, deadline=trio.current_time() + 10):
                    await performance.close()
                nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        raise _leaf(group) from None


def _leaf(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def main(arguments: list[str]) -> int:
    """`python -m tests.stories.runner [--target prosody|rookery] [--order any] [--loose] FILE...`: run scripts by hand."""
    import argparse

    options = argparse.ArgumentParser(prog="python -m tests.stories.runner")
    options.add_argument("--target", choices=("prosody", "rookery"), default="rookery")
    options.add_argument("--order", choices=("any", "strict"))
    options.add_argument("--loose", action="store_true", help="what the script does not tell may come")
    options.add_argument("files", nargs="+", type=Path)
    chosen = options.parse_args(arguments)
    try:
        target = make_target(chosen.target)
    except UnavailableError as exc:
        print(exc)
        return 2
    failed = 0
    try:
        for path in chosen.files:
            try:
                story = read(path)
                order = None if chosen.order is None else chosen.order == "any"

                async def run(story: Story = story, order: bool | None = order) -> None:
                    await perform(story, target, any_order=order, loose=chosen.loose)

                trio.run(run)
                print(f"ok      {path}")
            except Exception as exc:
                failed += 1
                print(f"FAILED  {path}\n    {type(exc).__name__}: {exc}")
    finally:
        target.stop()
    return min(failed, 1)


def make_target(name: str) -> Target:
    """Start a target by name. Raises UnavailableError."""
    if name == "prosody":
        return Prosody()
    from tests.stories.rookery import Rookery

    return Rookery()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
