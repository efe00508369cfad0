"""A component of slixmpp with a connection at each worker process; one of those processes is killed while a user writes to it."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any
from xml.etree.ElementTree import tostring

import pytest
import trio
from tests.clients.slixmpp_component import DELEGATED
from tests.cluster.harness import Cluster
from tests.cluster.people import People, bare

DOMAIN = "echo.localhost"
COUNT = 300
pytestmark = [pytest.mark.cluster, pytest.mark.slow]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(edges=1, routers=1, workers=2) as running:
        yield running


class Component:
    """The process of the component, and what it has said."""

    def __init__(self, secret: str, ports: list[int]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.clients.slixmpp_component", DOMAIN, secret, *map(str, ports)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.said: list[dict[str, Any]] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.said.append(json.loads(line))

    def all(self, word: str) -> list[Any]:
        return [one[word] for one in list(self.said) if word in one]

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


async def until(condition: Any, what: str, limit: float = 40.0) -> None:
    with trio.move_on_after(limit):
        while not condition():  # noqa: ASYNC110  another thread reads
            await trio.sleep(0.05)
        return
    raise AssertionError(what)


async def test_a_component_and_the_end_of_a_worker(cluster: Cluster) -> None:
    added = cluster.cli("component", "add", DOMAIN).stdout
    secret = added.partition("secret: ")[2].strip()
    assert secret not in cluster.cli("component", "list").stdout
    workers = [one for one in cluster.ready()["processes"] if "component" in one["ports"]]
    assert len(workers) == 2
    people = People(cluster, iter(cluster.add_users(1)))
    alice = await people.online()
    # Nobody is connected: a message waits, a request does not.
    await alice.send(f"<message id='early' type='chat' to='bot@{DOMAIN}'><body>early</body></message>")
    component = Component(secret, [one["ports"]["component"] for one in workers])
    try:
        await until(lambda: len(component.all("up")) == 2, f"no connections: {component.said}")
        await until(lambda: component.all("got") == ["early"], f"what waited did not come: {component.said}")
        items = await alice.request(
            "<iq type='get' id='items' to='localhost'><query xmlns='http://jabber.org/protocol/disco#items'/></iq>"
        )
        assert DOMAIN in tostring(items, "unicode")
        # XEP-0355: granted while it is connected; slixmpp answers in place of the server.
        assert cluster.cli("component", "set", DOMAIN, "--delegate", DELEGATED).returncode == 0
        await until(
            lambda: "delegated " + DELEGATED in cluster.cli("component", "list").stdout, "not granted"
        )
        await trio.sleep(1.0)
        done = await alice.request(f"<iq type='get' id='d1'><query xmlns='{DELEGATED}'/></iq>")
        assert done.get("type") == "result"
        assert f"{{{DELEGATED}}}done" in {one.tag for one in done.iter()}
        assert component.all("by") == [alice.jid]
        await alice.send(f"<presence to='bot@{DOMAIN}' type='subscribe'/>")
        with trio.fail_after(20):
            while (asked := await alice.receive()).get("type") != "subscribe":
                pass
        assert asked.get("from") == f"bot@{DOMAIN}"
        await alice.send(f"<presence to='bot@{DOMAIN}' type='subscribed'/>")
        await until(lambda: alice.jid in component.all("sees"), f"no presence: {component.said}")
        for n in range(COUNT):
            if n == COUNT // 3:
                cluster.kill(workers[0]["pid"])
            await alice.send(f"<message id='m{n}' type='chat' to='bot@{DOMAIN}'><body>{n}</body></message>")
            await trio.sleep(0.005)
        wanted = ["early", *(f"m{n}" for n in range(COUNT))]
        await until(
            lambda: set(component.all("got")) >= set(wanted),
            f"lost: {sorted(set(wanted) - set(component.all('got')))}",
        )
        assert list(dict.fromkeys(component.all("got"))) == wanted
        assert set(component.all("from")) == {alice.jid}
        await alice.send(f"<message id='last' type='chat' to='bot@{DOMAIN}'><body>last</body></message>")
        with trio.fail_after(20):
            while "echo last" not in tostring(await alice.receive(), "unicode"):
                pass
        assert cluster.cli("component", "remove", DOMAIN).returncode == 0
        await until(lambda: component.all("down"), "its connection did not end")
        assert bare(alice) in alice.jid
    finally:
        component.stop()
        await people.leave()
