"""The form of a setting: a section is a class, a setting is a field with its type, default, unit, bounds and one line of help.

The sections of the program are in `shared/config.py`, those of extensions in their files in `shared/xeps/`. The loader, the help of the
command line, the JSON Schema and `docs/settings.md` are made of these classes, so each setting is described once.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol, TypeVar

from msgspec import Meta, Struct


class Section(Struct, forbid_unknown_fields=True, frozen=True):
    """A table of the configuration; every field has a default."""


S = TypeVar("S", bound=Section)


class Chosen(Protocol):
    """Gives the configured options of an extension: `options(Options).page_max`."""

    def __call__(self, section: type[S], /) -> S:
        """The section with what the operator has set."""


class Facts(NamedTuple):
    """What `about` tells beside what msgspec keeps itself."""

    unit: str
    was: str
    secret: bool
    #: A process that is told to read the configuration again goes on with the new value (`rookery.reloading`).
    live: bool = False


def about(
    text: str,
    unit: str = "",
    *,
    ge: float | None = None,
    le: float | None = None,
    was: str = "",
    secret: bool = False,
    live: bool = False,
) -> Meta:
    """The description of a setting, for `Annotated`: one line of help, the unit of a number, its bounds.

    `was` is the name (`section.name`) that the setting had before; it is read still, with a warning. A secret is never printed.
    What is `live` is read where it is used, or handed on by a service's `configured`: others count for processes that start.
    """
    return Meta(description=text, ge=ge, le=le, extra={"facts": Facts(unit, was, secret, live)})
