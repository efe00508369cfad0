"""Documents: links resolve, generated ones are up to date, and what they say about the code is so."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import click
import msgspec
import pytest
from scripts.manpages import pages

from rookery.cli import COMMANDS, cli
from rookery.cli.documents import generated
from rookery.shared.config import Limits
from rookery.shared.reference import SETTINGS

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
_LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("name", generated())
def test_generated_documents_are_up_to_date(name: str) -> None:
    assert (ROOT / name).read_text("utf-8") == generated()[name], "run `make docs`"


def test_man_pages_are_up_to_date() -> None:
    found = {str(path.relative_to(ROOT)): path.read_text("utf-8") for path in ROOT.glob("packaging/man/*.1")}
    assert found == pages(), "run `make docs`, and remove the pages of commands that are gone"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_files_resolve(page: Path) -> None:
    for target in _LINK.findall(page.read_text("utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_every_limit_is_told_with_its_default() -> None:
    rows = dict(
        re.findall(
            r"^\| `([\w.]+)` \| ([^|]+) \|", (ROOT / "docs/limits.md").read_text("utf-8"), re.MULTILINE
        )
    )
    for field in msgspec.structs.fields(Limits):
        default = field.default
        text = ", ".join(default) if isinstance(default, tuple) else str(default)
        assert rows.pop(field.name).strip() == text, field.name
    options = {setting.key: setting for setting in SETTINGS}
    for name, told in rows.items():
        assert told.strip() == str(options[name].default), name


#: A command as pages write it, up to what ends a piece of code.
_COMMAND = re.compile(r"\brookery (-{0,2}[a-z][a-z0-9-]*)((?: [^\n`|#]*)?)")
_WORD, _OPTION = re.compile("[a-z][a-z0-9-]*"), re.compile("--[a-z][a-z0-9-]+")


def unknown(said: re.Match[str]) -> str:
    """The word of a command that there is not; "" when all are known."""
    context = click.Context(cli)
    command = cli.get_command(context, said[1]) if said[1] in COMMANDS else None
    words = said[2].split() if command else []
    while isinstance(command, click.Group) and words and _WORD.fullmatch(words[0]):
        name = words.pop(0)
        command = command.get_command(context, name)
        if command is None:
            return name
    known = {"--help", *(one for param in (command.params if command else ()) for one in param.opts)}
    known |= {one for param in (command.params if command else ()) for one in param.secondary_opts}
    options = [word.rstrip(".,;:)").partition("=")[0] for word in words]
    return next((one for one in options if _OPTION.fullmatch(one) and one not in known), "")


def test_every_command_that_a_page_names_exists_with_its_options() -> None:
    pages = [
        ROOT / "README.md",
        *(page for part in ("docs", "packaging", "k8s") for page in (ROOT / part).rglob("*.md")),
    ]
    said = [(page, one) for page in pages for one in _COMMAND.finditer(page.read_text("utf-8"))]
    assert len(said) > 150
    assert [(page.name, one[0], word) for page, one in said if (word := unknown(one))] == []


#: Folders that the page has a table of, and how a table begins.
MAPS = ("edge", "edge/client", "edge/login", "edge/sessions", "edge/sessions/management")
_MAP = re.compile(r"^`([\w/]+)/`.*\n\n((?:\|.*\n)+)", re.MULTILINE)


@pytest.mark.parametrize("folder", MAPS)
def test_the_map_of_a_folder_names_each_of_its_files_once(folder: str) -> None:
    page = (ROOT / "docs/architecture.md").read_text("utf-8")
    tables = dict(_MAP.findall(page.partition("## Where things are")[2]))
    cells = [line.split("|")[1] for line in tables[folder].splitlines() if line.startswith("| `")]
    named = re.findall(r"`(\w+/?)`", " ".join(cells))
    files = [path.stem for path in (ROOT / folder).glob("*.py") if path.stem != "__init__"]
    folders = [f"{path.parent.name}/" for path in (ROOT / folder).glob("*/__init__.py")]
    assert sorted(named) == sorted(files + folders)


def test_the_map_of_the_router_names_each_file_of_all_its_folders_once() -> None:
    page = (ROOT / "docs/architecture.md").read_text("utf-8")
    table = dict(_MAP.findall(page.partition("## Where things are")[2]))["router"]
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    named = re.findall(r"`(\w+)`", " ".join(cells))
    files = [path.stem for path in (ROOT / "router").rglob("*.py") if path.stem != "__init__"]
    assert sorted(named) == sorted(files)


def test_every_file_that_the_architecture_names_exists() -> None:
    page = (ROOT / "docs/architecture.md").read_text("utf-8")
    for name in re.findall(r"`((?:edge|router|workers|shared|src)/[\w/]+(?:\.py)?/?)`", page):
        assert (ROOT / name).exists(), name


def test_every_verb_that_a_page_names_is_in_the_makefile() -> None:
    verbs = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        named = set(re.findall(r"`make ([a-z]+)", page.read_text("utf-8")))
        assert named <= verbs, page


def test_no_file_that_git_knows_ends_a_line_with_a_space() -> None:
    names = subprocess.run(
        ["git", "ls-files", "*.md", "*.py", "*.toml"], cwd=ROOT, capture_output=True, text=True
    )
    for name in names.stdout.split("\n"):
        path = ROOT / name
        if name and path.is_file():
            assert not re.search(r"[ \t]$", path.read_text("utf-8"), re.MULTILINE), name
