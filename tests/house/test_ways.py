"""The table of who sends which item (`shared.bus.ways`) against the code: what each folder makes, and what each kind handles."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.house.sources import nodes, parsed

from rookery.shared.bus.kinds import KINDS, Kind, built
from rookery.shared.bus.messages import TAGS
from rookery.shared.bus.ways import WAYS, Layer, Party, sent_by, taken_by

ROOT = Path(__file__).parents[2]
ITEMS = {item.__name__: item for item in TAGS}
MESSAGES = "rookery.shared.bus.messages"
#: What a party makes without sending it: an answer made of another one, a note to itself.
NOT_SENT = {
    (Kind.EDGE, "Bound"),
    (Kind.EDGE, "DeliverMany"),
    (Kind.EDGE, "MirrorRequest"),
    (Kind.ROUTER, "Copy"),
    # what comes for a service goes the way of what comes for an account
    (Kind.PUBSUB, "Handle"),
    # one part of a Fanout whose partitions have gone to different processes
    (Layer.BUS, "Fanout"),
    (Layer.CLUSTER, "Fanout"),
}
#: They read items from the wire, or say what items are.
READERS = {"shared/bus/batch.py", "shared/bus/messages.py", "shared/bus/ways.py", "shared/bus/versions.py"}
#: Code of the bus and the cluster layer that acts for whoever imports it.
HELPERS = {
    "shared/bus/notices.py",
    "shared/bus/group_notices.py",
    "shared/cluster/domains.py",
    "shared/cluster/fanout.py",
}
#: Functions that say what a kind takes: tables, or a chain of cases.
TAKING = {"receive", "_rare", "_table", "items", "calls"}


def files() -> Iterator[tuple[str, ast.Module]]:
    for folder in ("edge", "router", "workers", "shared", "src/rookery"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if not any(parent.is_symlink() for parent in path.parents):
                name = str(path.relative_to(ROOT))
                if name not in READERS and name != "shared/cluster/fake.py":
                    yield name, parsed(path.read_text("utf-8"))


FILES = dict(files())


def party_of(name: str) -> Party | None:
    """For whom a file works; None for what works for those who import it."""
    top, _, rest = name.partition("/")
    if top == "shared":
        if name in HELPERS or not rest.startswith(("bus/", "cluster/")):
            return None
        return Layer.BUS if rest.startswith("bus/") else Layer.CLUSTER
    if top == "src":
        return Layer.COMMAND
    for row in built():
        package = row.service.partition(":")[0].rpartition(".")[0].removeprefix("rookery.").replace(".", "/")
        if name.startswith(f"{package}/"):
            return row.kind
    return None


@cache
def names_of(tree: ast.Module) -> dict[str, str]:
    """The items that a file imports, by the names that it uses."""
    return {
        alias.asname or alias.name: alias.name
        for node in nodes(tree)
        if isinstance(node, ast.ImportFrom) and node.module == MESSAGES
        for alias in node.names
        if alias.name in ITEMS
    }


@cache
def made(tree: ast.Module) -> set[str]:
    """The items that a file makes: `Item(...)`, `_new(Item, ...)`."""
    names = names_of(tree)
    found = set()
    for node in nodes(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            called = node.func.id
            if called == "_new" and node.args and isinstance(node.args[0], ast.Name):
                called = node.args[0].id
            if called in names:
                found.add(names[called])
    return found


@cache
def imports(tree: ast.Module) -> set[str]:
    found = set()
    for node in nodes(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def senders() -> dict[Party, set[str]]:
    """What the code makes, by party; what shared code makes belongs to all who import it, directly or not."""
    helpers = {
        "rookery." + name.removesuffix(".py").replace("/", "."): name
        for name in FILES
        if party_of(name) is None and made(FILES[name])
    }
    out: dict[Party, set[str]] = defaultdict(set)
    for name, tree in FILES.items():
        party = party_of(name)
        if party is None:
            continue
        out[party] |= made(tree)
        for module in imports(tree) & helpers.keys():
            # Only an edge asks account workers for the domains.
            if not module.endswith("cluster.domains") or party is Kind.EDGE:
                out[party] |= made(FILES[helpers[module]])
    return out


def taken(tree: ast.Module) -> set[str]:
    names = names_of(tree)
    found = set()
    for function in nodes(tree):
        if not (isinstance(function, ast.FunctionDef) and function.name in TAKING):
            continue
        for node in ast.walk(function):
            used: list[ast.AST | None] = []
            if isinstance(node, ast.Dict):
                used = list(node.keys)
            elif isinstance(node, ast.Call) and ast.unparse(node.func) == "isinstance":
                used = list(ast.walk(node.args[1]))
            elif isinstance(node, ast.MatchClass):
                used = [node.cls]
            found |= {names[one.id] for one in used if isinstance(one, ast.Name) and one.id in names}
    return found


def test_every_item_stands_in_the_table() -> None:
    assert WAYS.keys() == TAGS.keys()


def test_every_kind_of_the_table_is_built() -> None:
    for item, way in WAYS.items():
        for party in way.senders | way.takers:
            assert isinstance(party, Layer) or KINDS[party].built, item


def test_what_each_part_makes_is_what_the_table_lets_it_send() -> None:
    found = senders()
    for party in (*Kind, *Layer):
        made_here = {name for name in found.get(party, ()) if (party, name) not in NOT_SENT}
        assert made_here == {item.__name__ for item in sent_by(party)}, party


def test_what_each_kind_handles_is_what_the_table_sends_to_it() -> None:
    for row in built():
        handled = {one for name, tree in FILES.items() if party_of(name) is row.kind for one in taken(tree)}
        assert handled == {item.__name__ for item in taken_by(row.kind)}, row.kind
