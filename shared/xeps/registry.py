"""The tables built from all XEP files: who answers an iq, what a disco#info answer lists, the settings, and two documents.

A file of this folder whose name has no leading underscore and that defines `XEP` is one XEP. Two files that claim the same
payload are refused when this module is imported.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple, TypeVar

import rookery.shared.xeps as folder
from rookery.shared.options import Section
from rookery.shared.xeps._xep import Context, Entry, Forward, Key, Local, Target, Xep
from rookery.shared.xmpp import ns
from rookery.shared.xmpp.errors import StanzaError
from rookery.shared.xmpp.stanza import Stanza
from rookery.shared.xmpp.xml import escape_text

#: ToResources(which=...) of roster pushes: the resources that asked for the roster (RFC 6121 section 2.1.6).
INTERESTED: Final = "interested"


H = TypeVar("H")
#: The payload of a request to a worker: (iq type, namespace, element name).
Payload = tuple[str, str, str]


class Declared(NamedTuple):
    """A XEP with what its file says of itself."""

    module: str
    title: str
    xep: Xep


def _legacy_session(iq: Stanza, context: Context) -> Stanza:
    """RFC 3921's session is established by binding; old clients still ask for it, of their own account or its domain."""
    if context.address != context.domain and not context.own:
        raise StanzaError("service-unavailable")
    return iq.result()


#: What RFC 6121 itself makes the server answer.
CORE: Final[Mapping[Key, Entry]] = {
    (Target.ACCOUNT, "get", ns.ROSTER, "query"): Forward("roster", marks=INTERESTED, own_only=True),
    (Target.ACCOUNT, "set", ns.ROSTER, "query"): Forward("roster", own_only=True),
    (Target.ACCOUNT, "set", ns.SESSION, "session"): Local(_legacy_session),
    (Target.DOMAIN, "set", ns.SESSION, "session"): Local(_legacy_session),
}


def load() -> tuple[Declared, ...]:
    """Import every XEP file; sorted by number. Raises ValueError for a file without a proper title line."""
    found = []
    for info in pkgutil.iter_modules(folder.__path__):
        if info.name.startswith("_") or info.name == "registry":
            continue
        module = importlib.import_module(f"{folder.__name__}.{info.name}")
        xep = getattr(module, "XEP", None)
        line = (module.__doc__ or "").partition("\n")[0]
        if (
            not isinstance(xep, Xep)
            or not line.startswith(f"XEP-{xep.number:04}: ")
            or not line.endswith(".")
        ):
            raise ValueError(f"{info.name}.py needs a XEP and the title line of its number")
        found.append(Declared(info.name, line.partition(": ")[2].removesuffix("."), xep))
    return tuple(sorted(found, key=lambda declared: declared.xep.number))


def build(core: Mapping[Key, Entry], declared: Iterable[Declared]) -> dict[Key, Entry]:
    """The dispatch table. Raises ValueError when a payload has two claims."""
    table = dict(core)
    for one in declared:
        for key, entry in one.xep.entries.items():
            if key in table:
                raise ValueError(f"{one.module}.py claims {key}, which something else answers")
            table[key] = entry
    return table


def collect(declared: Iterable[Declared]) -> dict[Target, tuple[str, ...]]:
    """The sorted disco#info features of each target."""
    out: dict[Target, set[str]] = {target: set() for target in Target}
    for one in declared:
        for target, names in one.xep.features.items():
            out[target].update(names)
    return {target: tuple(sorted(names)) for target, names in out.items()}


XEPS: Final = load()
_TABLE: Final = build(CORE, XEPS)
#: For `Context.features`.
FEATURES: Final[Mapping[Target, tuple[str, ...]]] = MappingProxyType(collect(XEPS))


def lookup(target: Target, type: str, ns: str, name: str) -> Entry | None:
    """Who answers an iq of this type ("get" or "set") and payload; None: nobody (service-unavailable)."""
    return _TABLE.get((target, type, ns, name))


def refusal(iq: Stanza) -> Stanza:
    """What a request that only subscribers may make gets from an account that is not subscribed to, or that does not exist."""
    payloads = iq.payloads
    entry = lookup(Target.ACCOUNT, iq.type, *payloads[0]) if len(payloads) == 1 else None
    if isinstance(entry, Local) and entry.stranger is not None:
        return entry.stranger(iq)
    return iq.error(StanzaError("service-unavailable"))


def features(target: Target) -> list[str]:
    """The disco#info features of a target, sorted."""
    return list(FEATURES[target])


def sections(declared: Iterable[Declared] = XEPS) -> dict[str, type[Section]]:
    """The tables of the configuration that XEPs have: name of the file -> class."""
    return {one.module: one.xep.options for one in declared if one.xep.options is not None}


def answered_by(
    kind: str, handlers: Mapping[Payload, H], table: Mapping[Key, Entry] = _TABLE
) -> Mapping[Payload, H]:
    """The requests that workers of `kind` answer, checked against the dispatch table.

    Raises ValueError for a payload that is forwarded to them and has no handler, and for a handler that nothing is forwarded to.
    """
    forwarded = {key[1:] for key, entry in table.items() if isinstance(entry, Forward) and entry.kind == kind}
    if missing := forwarded - handlers.keys():
        raise ValueError(f"{kind} does not answer {sorted(missing)}, which routers forward to it")
    if idle := handlers.keys() - forwarded:
        raise ValueError(f"{kind} answers {sorted(idle)}, which nothing forwards to it")
    return MappingProxyType(dict(handlers))


def kinds(table: Mapping[Key, Entry] = _TABLE) -> frozenset[str]:
    """The kinds of worker that a request may be forwarded to."""
    return frozenset(entry.kind for entry in table.values() if isinstance(entry, Forward))


_RFCS: Final = (
    (6120, "XMPP: Core"),
    (6121, "XMPP: Instant Messaging and Presence"),
    (7395, "XMPP over WebSocket"),
    (7590, "Use of TLS in XMPP"),
    (7622, "XMPP: Address Format"),
)


def render_markdown(declared: Iterable[Declared] = XEPS) -> str:
    """`docs/xeps.md`."""
    lines = [
        "# Supported specifications",
        "",
        "Generated by `make docs` from the files in `shared/xeps/`; do not edit. What the server as a whole can do yet is told in",
        "[status](status.md), the settings of an extension in [settings](settings.md).",
        "",
        "| RFC | title |",
        "|---|---|",
        *(f"| [RFC {n}](https://www.rfc-editor.org/rfc/rfc{n}) | {title} |" for n, title in _RFCS),
        "",
        "*For* says which addresses answer or announce it; nothing there: it concerns streams or the stanzas that pass.",
        "",
        "| XEP | title | version | status | since | for | where | note |",
        "|---|---|---|---|---|---|---|---|",
    ]
    known = tuple(declared)
    for module, title, xep in known:
        where = f"`{module}.py`" + (f", {xep.implemented_in}" if xep.implemented_in else "")
        link = f"[{xep.number:04}](https://xmpp.org/extensions/xep-{xep.number:04}.html)"
        lines.append(
            f"| {link} | {title} | {xep.version} | {xep.status} | {xep.since} | {_for(xep)} | {where} | {xep.note} |"
        )
    lines += ["", "## What is announced", "", "| to whom asks | features (XEP-0030) |", "|---|---|"]
    lines += [
        f"| {target.value} | {' '.join(f'`{name}`' for name in names)} |"
        for target, names in collect(known).items()
        if names
    ]
    return "\n".join(lines) + "\n"


def _for(xep: Xep) -> str:
    return ", ".join(target.value for target in xep.targets)


_DOAP_HEAD: Final = """<?xml version='1.0' encoding='UTF-8'?>
<!-- Generated by `make docs` from the files in shared/xeps/; do not edit. -->
<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'
         xmlns='http://usefulinc.com/ns/doap#'
         xmlns:xmpp='https://linkmauve.fr/ns/xmpp-doap#'>
  <Project>
    <name>Rookery</name>
    <shortdesc xml:lang='en'>A clustered XMPP server</shortdesc>
    <license rdf:resource='https://www.apache.org/licenses/LICENSE-2.0'/>
    <programming-language>Python</programming-language>
    <os>Linux</os>
    <category rdf:resource='https://linkmauve.fr/ns/xmpp-doap#category-server'/>
"""


def render_doap(declared: Iterable[Declared] = XEPS) -> str:
    """`docs/rookery.doap`, a description of the project as XEP-0453 says."""
    out = [_DOAP_HEAD]
    for number, _title in _RFCS:
        out.append(f"    <implements rdf:resource='https://xmpp.org/rfcs/rfc{number}.html'/>\n")
    for _module, _title, xep in declared:
        said = "; ".join(
            filter(None, (xep.note.removesuffix("."), f"for: {_for(xep)}" if xep.targets else ""))
        )
        note = f"        <xmpp:note xml:lang='en'>{escape_text(said)}</xmpp:note>\n" if said else ""
        out.append(
            "    <implements>\n"
            "      <xmpp:SupportedXep>\n"
            f"        <xmpp:xep rdf:resource='https://xmpp.org/extensions/xep-{xep.number:04}.html'/>\n"
            f"        <xmpp:status>{xep.status}</xmpp:status>\n"
            f"        <xmpp:version>{xep.version}</xmpp:version>\n"
            f"        <xmpp:since>{xep.since}</xmpp:since>\n"
            f"{note}"
            "      </xmpp:SupportedXep>\n"
            "    </implements>\n"
        )
    out.append("  </Project>\n</rdf:RDF>\n")
    return "".join(out)
