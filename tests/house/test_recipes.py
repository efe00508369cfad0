"""The recipes of docs/extending.md are followed as they stand, in a copy of the sources; then the result is asked."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/extending.md").read_text("utf-8")
FOLDERS = ("edge", "router", "workers", "shared", "bench", "src", "tests/house")
#: "`file`:", "In `file`, behind `line`:" or "In `file`, in place of `line`:", then a block of code.
_STEP = re.compile(
    r"^(?:In )?`([\w/]+\.py)`(?:, (behind|in place of) `([^`]+)`)?:\n\n```(?:python|text)\n(.*?)```\n",
    re.MULTILINE | re.DOTALL,
)

ASK_XEP = """
from rookery.shared.config import Config
from rookery.shared.xeps._xep import Context, Local, Target
from rookery.shared.xeps.registry import FEATURES, lookup, render_markdown
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element
entry = lookup(Target.DOMAIN, "get", "urn:example:dice", "roll")
assert isinstance(entry, Local)
assert "urn:example:dice" in FEATURES[Target.DOMAIN]
assert "| Dice | 0.1 | complete |" in render_markdown()
iq = Stanza.build("iq", Element("urn:example:dice", "roll"), type="get", to="x", from_="a@x/r", id="1")
answer = entry.handler(iq, Context(now=13.0, started=0.0, version="", domain="x", address="x", own=False, options=Config().options, registration_open=False,
                                   contacts=(), features=FEATURES))
assert answer.type == "result" and answer.to == "a@x/r" and b">2</roll>" in answer.inner
"""

ASK_KIND = """
import runpy, trio
from rookery import wiring
from rookery.cli.processes import worker
from rookery.shared.bus.kinds import accepting, workers
from rookery.shared.bus.messages import Accepted, Handle, Kind, Origin, Route
from rookery.shared.cluster.fake import FakeCluster
from rookery.shared.config import Config
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import Element
from rookery.up.plan import Plan

class Db:
    healthy = True
    async def run(self, partition, work, *, op=""):
        return await work(self)
    async def fetch(self, query):
        return [{"name": "x", "kind": "accounts", "registration": False, "policy": "{}"}]

async def main():
    cluster = FakeCluster()
    edge, router = cluster.node("edge1", Kind.EDGE), cluster.node("router1", Kind.ROUTER)
    node = cluster.node("echo1", Kind.ECHO, db=Db())
    service = wiring.make(Kind.ECHO, node)
    node.serve(service)
    iq = Stanza.build("iq", Element("urn:x", "q", None, "hello"), type="get", from_="a@x/r", id="1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(cluster.network.run)
        nursery.start_soon(service.run)
        await service.domains.known()
        item = Handle(Origin(b"s" * 16, 1, "edge1"), "a@x", "a@x/r", True, iq)
        router.bus.post(Kind.ECHO, router.partition("a@x"), item)
        with trio.fail_after(10):
            while not (router.received and edge.received):
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    (_, kind, partition, _, answer), = router.received
    assert isinstance(answer, Route) and (kind, partition) == (Kind.ROUTER, router.partition("a@x"))
    assert answer.stanza.type == "result" and b"hello" in answer.stanza.inner
    assert edge.received[0][4] == Accepted(((b"s" * 16, 1),))

trio.run(main)
assert Kind.ECHO in accepting() and "echo" in workers()
assert "echo       repeats what it is asked" in worker.help
assert "echo" in Plan(Config(), None).children()[-1][1]
for name, check in runpy.run_path("tests/house/test_ways.py").items():
    if name.startswith("test_"):
        check()
"""


def follow(recipe: str, root: Path) -> list[str]:
    """Do in a copy of the sources what a section of the page says; returns the files that it names."""
    for folder in FOLDERS:
        # (with what is compiled already: times of files are copied, so Python knows what is still true)
        shutil.copytree(ROOT / folder, root / folder, symlinks=True)
    section = PAGE.partition(f"\n## {recipe}\n")[2].partition("\n## ")[0]
    named = []
    for file, how, line, code in _STEP.findall(section):
        path = root / file
        named.append(file)
        if not how:
            assert not path.exists(), file
            path.parent.mkdir(exist_ok=True)
            path.write_text(code, "utf-8")
            continue
        lines = path.read_text("utf-8").splitlines(keepends=True)
        (at,) = (i for i, text in enumerate(lines) if text.startswith(line))
        lines[at : at + 1] = [lines[at], code] if how == "behind" else [code]
        path.write_text("".join(lines), "utf-8")
    return named


@pytest.mark.parametrize(("recipe", "question"), [("A XEP", ASK_XEP), ("A kind of worker", ASK_KIND)])
def test_a_recipe_works(recipe: str, question: str, tmp_path: Path) -> None:
    files = follow(recipe, tmp_path)
    own = {name for name in files if not (ROOT / name).exists()}
    assert own
    assert len(set(files) - own) <= 3, "files that change outside the folder"
    environment = {
        "PYTHONPATH": str(tmp_path / "src"),
        "ROOKERY_COMPILED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    where = "import rookery, sys\nassert rookery.__file__.startswith(sys.argv[1]), rookery.__file__\n"
    done = subprocess.run(
        [sys.executable, "-c", where + question, str(tmp_path)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
