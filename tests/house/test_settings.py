"""Every setting is described once, is told everywhere, and is used."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Annotated

import pytest
from click.testing import CliRunner
from tests.house.sources import nodes, parsed

from rookery.cli.configs import config as command
from rookery.shared import reference
from rookery.shared.config import Config, compose
from rookery.shared.options import Section, about
from rookery.shared.reference import SETTINGS, Setting

ROOT = Path(__file__).parents[2]
CODE = ("edge", "router", "workers", "shared", "src/rookery")
#: These describe and check settings; reading one there is no use of it.
DESCRIBING = {"shared/config.py", "shared/settings.py", "shared/reference.py"}


def sources() -> dict[str, tuple[str, set[str]]]:
    """File -> its text and the attributes that it reads."""
    found = {}
    for folder in CODE:
        for path in (ROOT / folder).rglob("*.py"):
            if not any(parent.is_symlink() for parent in path.parents):
                text = path.read_text("utf-8")
                reads = {node.attr for node in nodes(parsed(text)) if isinstance(node, ast.Attribute)}
                found[str(path.relative_to(ROOT))] = (text, reads)
    return found


def users(setting: Setting, files: dict[str, tuple[str, set[str]]]) -> list[str]:
    """Files that know the section and read an attribute of that name."""
    table = reference.sections()[setting.section]
    words = (
        f"{setting.section}.Options",
        f"{setting.section} import",
        "xep.Options",
        f"config.{setting.section}",
        setting.key,
    )
    own = f"shared/xeps/{setting.section}.py"
    return [
        name
        for name, (text, reads) in files.items()
        if setting.name in reads
        and name not in DESCRIBING
        and (name == own or table.__name__ in text or any(word in text for word in words))
    ]


def test_every_setting_is_used() -> None:
    files = sources()
    assert [setting.key for setting in SETTINGS if not users(setting, files)] == []


class Silent(Section, frozen=True):
    """A section whose setting says nothing."""

    most: int = 3


class Spoken(Section, frozen=True):
    """A section whose setting says something, and is used nowhere."""

    never_read: Annotated[int, about("Nothing")] = 3


def test_a_setting_without_help_and_one_that_nobody_reads_are_found() -> None:
    with pytest.raises(ValueError, match=r"silent\.most has no help"):
        list(reference.settings(compose({"silent": Silent})))
    (setting,) = (one for one in reference.settings(compose({"spoken": Spoken})) if one.section == "spoken")
    assert not any(setting.name in reads for _, reads in sources().values())


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.key)
def test_a_setting_is_described(setting: Setting) -> None:
    assert 3 < len(setting.help) < 140
    assert not setting.help.endswith(".")
    if setting.type.endswith("number") and "ort" not in setting.name and setting.name != "speak_version":
        assert setting.unit
        assert setting.bounds
    if setting.was:
        section, _, name = setting.was.partition(".")
        assert not hasattr(getattr(Config(), section), name)


def test_the_page_the_command_and_the_schema_tell_every_setting() -> None:
    page = reference.render_markdown()
    told = CliRunner().invoke(command, ["describe"])
    shown = CliRunner().invoke(command, ["show"])
    schema = reference.schema()["$defs"]
    assert told.exit_code == shown.exit_code == 0
    for setting in SETTINGS:
        assert f"`{setting.variable}`" in page
        assert f"{setting.key} = " in told.output
        assert setting.help in told.output
        assert f"\n{setting.name} = " in shown.output
        place = schema["Config"]["properties"][setting.section]
        name = (place.get("$ref") or place["allOf"][0]["$ref"]).rpartition("/")[2]
        assert schema[name]["properties"][setting.name]["description"] == setting.help
