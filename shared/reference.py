"""What there is to set: the description of every setting, and what is made of it (help, JSON Schema, `docs/settings.md`)."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Any, Final, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct

from rookery.shared.config import Config
from rookery.shared.options import Facts, Section
from rookery.shared.xeps import registry

#: Before the name of a variable of the environment.
PREFIX: Final = "ROOKERY_"
_TYPES: Final = {str: "text", int: "whole number", float: "number", bool: "true or false"}


class Setting(NamedTuple):
    """One setting. `type` and `bounds` are for people; `hint` is the type with its `Meta`; `was` is a former name or ""."""

    section: str
    name: str
    hint: Any
    type: str
    default: Any
    unit: str
    bounds: str
    help: str
    was: str
    secret: bool
    live: bool

    @property
    def key(self) -> str:
        """As people write it: `section.name`."""
        return f"{self.section}.{self.name}"

    @property
    def variable(self) -> str:
        """Its name in the environment."""
        return f"{PREFIX}{self.section}__{self.name}".upper()


def sections(config: type[Struct] = Config) -> dict[str, type[Section]]:
    """The tables of a configuration, in its order."""
    hints = get_type_hints(config)
    return {name: hints[name] for name in config.__struct_fields__}


def settings(config: type[Struct] = Config) -> Iterator[Setting]:
    """Every setting. Raises ValueError for one that `about` does not describe."""
    for section, table in sections(config).items():
        hints = get_type_hints(table, include_extras=True)
        for each in msgspec.structs.fields(table):
            meta = meta_of(hints[each.name])
            if meta is None or not meta.description:
                raise ValueError(f"{section}.{each.name} has no help: describe it with about()")
            facts = facts_of(hints[each.name])
            yield Setting(
                section,
                each.name,
                hints[each.name],
                _type(base(hints[each.name])),
                each.default,
                facts.unit,
                _bounds(meta),
                meta.description,
                facts.was,
                facts.secret,
                facts.live,
            )


def meta_of(hint: Any) -> Meta | None:
    """What `about` said of the setting with this type."""
    for meta in getattr(hint, "__metadata__", ()):
        if isinstance(meta, Meta):
            return meta
    return None


def facts_of(hint: Any) -> Facts:
    """Unit, former name and secrecy of the setting with this type."""
    meta = meta_of(hint)
    facts = (meta.extra or {}).get("facts") if meta is not None else None
    return facts if isinstance(facts, Facts) else Facts("", "", False)


def base(hint: Any) -> Any:
    """A type without its description and without None."""
    while hasattr(hint, "__metadata__"):
        hint = get_args(hint)[0]
    if get_origin(hint) in (Union, types.UnionType):
        hint = get_args(hint)[0]
    return hint


def _type(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return " or ".join(get_args(hint))
    if get_origin(hint) is tuple:
        return "list of text"
    return _TYPES[hint]


def _bounds(meta: Meta) -> str:
    if meta.ge is not None and meta.le is not None:
        return f"{meta.ge} to {meta.le}"
    return (
        f"at least {meta.ge}" if meta.ge is not None else f"at most {meta.le}" if meta.le is not None else ""
    )


SETTINGS: Final = tuple(settings())
#: Former names, that are read still: (section, name) -> the setting.
RENAMED: Final = {
    (setting.was.partition(".")[0], setting.was.partition(".")[2]): setting
    for setting in SETTINGS
    if setting.was
}


def schema() -> dict[str, Any]:
    """The JSON Schema of the TOML file."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(Config)}


def toml(value: object) -> str:
    """A value as TOML writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, tuple):
        return "[" + ", ".join(map(toml, value)) + "]"
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return (
        '"'
        + "".join(f"\\u{ord(char):04x}" if ord(char) < 0x20 or char == "\x7f" else char for char in text)
        + '"'
    )


def title(section: str) -> str:
    """What a section is about: for that of an extension its number and name, too."""
    text = (sections()[section].__doc__ or "").partition("\n")[0]
    for declared in registry.XEPS:
        if declared.module == section:
            return f"XEP-{declared.xep.number:04} ({declared.title}). {text}"
    return text


def describe(setting: Setting) -> str:
    """A setting in three lines, for a terminal."""
    kind = " ".join(filter(None, (setting.type, f"of {setting.unit}" if setting.unit else "")))
    changed = "live" if setting.live else "at a restart"
    was = f"was {setting.was}" if setting.was else ""
    facts = ", ".join(filter(None, (kind, setting.bounds, was, f"changes {changed}")))
    return f"{setting.key} = {toml(setting.default)}\n    {setting.help}.\n    {facts}; {setting.variable}\n"


def render_markdown() -> str:
    """`docs/settings.md`."""
    lines = [
        "# Settings",
        "",
        "Generated by `make docs` from `shared/config.py` and `shared/xeps/`; do not edit. `rookery config describe NAME` tells the same,",
        "`rookery config show` prints what is set, `rookery config schema` is for editors. How to choose limits: [limits](limits.md).",
        "",
        "A setting stands in its section of the TOML file, or in the environment; the environment goes first. With `_FILE` behind the",
        "variable its value is the content of that file. Times may be written `30s`, `5m`, `500ms`, sizes `256KiB`, lists with commas.",
        "",
        "`reload` tells when a change counts: `live` for processes that are told to read again (SIGHUP, or `rookery reload`), `restart` for those",
        "that are started. Certificates and, with them, the list of domains are always live.",
    ]
    for section in sections():
        lines += [
            "",
            f"## `[{section}]`",
            "",
            title(section),
            "",
            "| setting | what | default | type | unit | bounds | reload | environment |",
            "|---|---|---|---|---|---|---|---|",
        ]
        lines += [_row(setting) for setting in SETTINGS if setting.section == section]
    lines += [
        "",
        "## Former names",
        "",
        "They are read still, with a warning.",
        "",
        "| was | is |",
        "|---|---|",
    ]
    lines += [f"| `{setting.was}` | `{setting.key}` |" for setting in SETTINGS if setting.was]
    return "\n".join(lines) + "\n"


def _row(setting: Setting) -> str:
    cells = (
        f"`{setting.name}`",
        setting.help + ("; a secret" if setting.secret else ""),
        f"`{toml(setting.default)}`",
        setting.type,
        setting.unit,
        setting.bounds,
        "live" if setting.live else "restart",
        f"`{setting.variable}`",
    )
    return "| " + " | ".join(cells) + " |"
