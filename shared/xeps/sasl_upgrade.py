"""XEP-0480: SASL Upgrade Tasks."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from typing import Annotated, Final

from rookery.shared.options import Section, about
from rookery.shared.xeps._xep import Xep
from rookery.shared.xmpp.sasl.common import SaslFailure, decode_base64
from rookery.shared.xmpp.sasl.keys import SIZES
from rookery.shared.xmpp.xml import Element

NS: Final = "urn:xmpp:sasl:upgrade:0"
SCRAM: Final = "urn:xmpp:scram-upgrade:0"
SASL2: Final = "urn:xmpp:sasl:2"
PREFIX: Final = "UPGR-"


class Options(Section, frozen=True):
    """Keys for other mechanisms, made when clients log in."""

    enabled: Annotated[bool, about("Whether clients are asked for the keys that an account lacks")] = True
    mechanisms: Annotated[
        tuple[str, ...],
        about(
            "SCRAM mechanisms that keys are gathered for though they are not offered yet, besides account.mechanisms"
        ),
    ] = ()


XEP = Xep(
    480,
    "0.2.0",
    "complete",
    implemented_in="edge, workers.account",
    options=Options,
    note="SCRAM, for keys that an account lacks; a login by PLAIN adds them without a task",
)


def kept(offered: Sequence[str], options: Options) -> tuple[str, ...]:
    """Mechanisms that keys are kept for: those that are offered, and those that keys are gathered for."""
    return tuple(dict.fromkeys((*offered, *(options.mechanisms if options.enabled else ()))))


def features(mechanisms: Iterable[str]) -> list[Element]:
    """`<upgrade/>` of SASL2's feature (section 2.1)."""
    return [Element(NS, "upgrade", None, PREFIX + name) for name in mechanisms]


def wanted(tasks: Sequence[str], offered: Sequence[str], missing: Sequence[str]) -> list[str]:
    """Mechanisms of the tasks that a client has selected, in its order: those that are offered and that the account lacks."""
    named = dict.fromkeys(task.removeprefix(PREFIX) for task in tasks if task.startswith(PREFIX))
    return [name for name in named if name in offered and name in missing]


def proceed(mechanism: str, additional: str) -> Element:
    """`<continue/>` with one task (section 2.3); `additional` is Base64 of the exchange before it, "" for none."""
    return Element(
        SASL2,
        "continue",
        None,
        Element(SASL2, "additional-data", None, additional) if additional else None,
        Element(SASL2, "tasks", None, Element(SASL2, "task", None, PREFIX + mechanism)),
    )


def salt(value: bytes, iterations: int) -> Element:
    """What the client needs for its calculation (section 3)."""
    said = Element(SCRAM, "salt", {"iterations": str(iterations)}, b64encode(value).decode())
    return Element(SASL2, "task-data", None, said)


def salted_password(element: Element, mechanism: str) -> bytes:
    """Read the client's `<task-data/>`. Raises SaslFailure: malformed-request, incorrect-encoding."""
    hashes = [one for one in element.elements() if (one.ns, one.name) == (SCRAM, "hash")]
    if len(hashes) != 1 or not hashes[0].text:
        raise SaslFailure("malformed-request", "one hash is said")
    value = decode_base64(hashes[0].text.strip())
    if len(value) != SIZES[mechanism]:
        raise SaslFailure("malformed-request", "the hash has another size")
    return value
