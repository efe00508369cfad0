"""The wire form of a batch: what one process sends to another in one NATS message.

A batch is the MessagePack array `[head, items]`. `head` is the flat array of `Head`'s fields. Each item is
`[tag, kind, partition, epoch, fields]`, or with the id of a call behind it `[tag, kind, partition, epoch, fields, call]`; items are packed
one by one, so that a link knows their sizes and can send the same bytes again.

Readers accept VERSION and VERSION - 1; `shared.bus.versions` says how the latter is written. Fields behind those that this version knows are ignored; missing ones that have
a default get it. What cannot be read as an item becomes None, so that one bad item does not stop a link.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Sequence
from types import UnionType
from typing import Any, Final, NamedTuple, cast

import msgpack

from rookery.shared.bus.messages import (
    TAGS,
    VERSION,
    Copy,
    Deliver,
    Handle,
    Item,
    Kind,
    Origin,
    Route,
    Submit,
)
from rookery.shared.bus.versions import OLDEST, narrowed
from rookery.shared.xmpp.stanza import Stanza

#: Longest batch that a reader looks at; NATS itself refuses more than its `max_payload` (1 MiB by default).
MAX_BATCH: Final = 8 * 1024 * 1024
#: Longest array in a batch: recipients of a fan-out, items of a batch. Bounds what a forged length can make us allocate.
MAX_ARRAY: Final = 16_384
#: Most items that a sender puts into one batch.
MAX_ITEMS: Final = 4096

#: Flags of a head. ANSWER: please send a head back. BACK: send again from `ack`, which is where I stand.
ANSWER: Final = 1
BACK: Final = 2
#: As `ack` with BACK: I know nothing of this generation any more; start a new one.
UNKNOWN: Final = -1


class BadBatch(ValueError):  # noqa: N818  says what it is
    """These bytes are not a batch that this version reads."""


class WrongVersion(BadBatch):
    """The batch is of a version that this process does not read."""


class Head(NamedTuple):
    """The link part of a batch (see `shared.bus.links`). Generation 0 is outside any link: the control subject.

    The items are numbered from `first`; `base` is what the sender knows to have arrived. `ack` acknowledges the peer's items below
    it, of the peer's `ack_generation`; the windows are what may be on the way unacknowledged, in items and bytes.
    """

    version: int
    source: str
    generation: int
    first: int
    base: int
    flags: int
    ack_generation: int
    ack: int
    window_items: int
    window_bytes: int


#: One item as it is queued and received: (kind, partition, epoch, item, id of the call or 0).
Entry = tuple[Kind, int, int, Item, int]
Reader = Callable[[Sequence[Any]], Any]

_HEAD_TYPES: Final = (int, str, int, int, int, int, int, int, int, int)
_KINDS: Final = tuple(Kind)
_pack: Final = msgpack.Packer().pack
_array: Final = msgpack.Packer().pack_array_header


def pack_item(entry: Entry, version: int = VERSION) -> bytes:
    """Pack one item as `version` has it.

    Raises TypeError, ValueError or OverflowError for values that have no wire form, Unspoken for what that version does not have.
    """
    kind, partition, epoch, item, call = entry
    fields = item if version == VERSION else narrowed(item)
    if call:
        return cast("bytes", _pack((TAGS[type(item)], kind, partition, epoch, fields, call)))
    return cast("bytes", _pack((TAGS[type(item)], kind, partition, epoch, fields)))


def pack_batch(head: Head, items: Sequence[bytes]) -> bytes:
    """Put packed items behind a head."""
    return b"".join((b"\x92", _pack(head), _array(len(items)), *items))


def unpack_batch(raw: bytes, newest: int = VERSION) -> tuple[Head, Sequence[Sequence[Any]]]:
    """Read head and raw items; `read_item` makes an item of each. Raises BadBatch.

    `newest` is the highest version that is read: lower than VERSION in a process that rehearses (`cluster.speak_version`).
    """
    if len(raw) > MAX_BATCH:
        raise BadBatch("batch is too long")
    try:
        top = msgpack.unpackb(
            raw,
            use_list=False,
            ext_hook=_no_extension,
            max_array_len=MAX_ARRAY,
            max_map_len=0,
            max_ext_len=0,
            max_bin_len=MAX_BATCH,
            max_str_len=MAX_BATCH,
        )
    except (
        ValueError,
        msgpack.UnpackException,
        RecursionError,
    ) as exc:  # ValueError: also bad UTF-8, trailing bytes
        raise BadBatch(f"not MessagePack within our limits: {type(exc).__name__}") from None
    if type(top) is not tuple or len(top) < 2 or type(top[0]) is not tuple or type(top[1]) is not tuple:
        raise BadBatch("not an array of head and items")
    head, items = top[0], top[1]
    if not head or type(head[0]) is not int:
        raise BadBatch("no version")
    # A newer writer writes the lowest version alive, so what is above ours is a mistake in operation.
    if not OLDEST <= head[0] <= newest:
        reads = f"{OLDEST} and {newest}" if newest > OLDEST else f"only {OLDEST}"
        raise WrongVersion(f"batch version {head[0]}, this process reads {reads}")
    if len(head) < len(_HEAD_TYPES) or any(type(v) is not t for v, t in zip(head, _HEAD_TYPES, strict=False)):
        raise BadBatch("bad head")
    return Head._make(head[: len(_HEAD_TYPES)]), items


def read_item(raw: Sequence[Any]) -> Entry | None:
    """Rebuild one item of a batch; None when it is not one that this version knows."""
    try:
        if len(raw) == 5:
            tag, kind, partition, epoch, fields = raw
            call = 0
        else:
            tag, kind, partition, epoch, fields, call = raw[:6]
        if type(partition) is not int or type(epoch) is not int or type(call) is not int or kind < 0:
            return None
        return _KINDS[kind], partition, epoch, READERS[tag](fields), call
    except (TypeError, ValueError, LookupError):
        return None


def read_fields(tag: int, fields: Sequence[object]) -> Item:
    """Rebuild an item from its tag and fields (answers of calls, items that came back). Raises BadBatch."""
    try:
        return cast("Item", READERS[tag](fields))
    except (TypeError, ValueError, LookupError):
        raise BadBatch(f"bad item with tag {tag!r}") from None


def _no_extension(code: int, data: bytes) -> object:
    raise ValueError(f"extension type {code} of {len(data)} bytes")


def _fitted(cls: Any, fields: Sequence[Any]) -> list[Any]:
    """`fields` with exactly the length of `cls`: newer fields dropped, missing ones from their defaults."""
    names, defaults = cls._fields, cls._field_defaults
    if type(fields) is not tuple:
        raise TypeError("fields are not an array")
    return [*fields[: len(names)], *(defaults[name] for name in names[len(fields) :])]


def _nested_reader(annotation: Any) -> Reader | None:
    """How to rebuild a value of that type, or None when it is used as it was unpacked."""
    if isinstance(annotation, type) and issubclass(annotation, tuple) and hasattr(annotation, "_fields"):
        return _reader(annotation)
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is UnionType or origin is typing.Union:
        raise TypeError("an item's field has one type")
    if origin is tuple and args and args[-1] is not Ellipsis:
        parts = [(i, read) for i, arg in enumerate(args) if (read := _nested_reader(arg)) is not None]
        if not parts:
            return None

        def read_tuple(value: Sequence[Any]) -> Any:
            out = list(value)
            for i, read in parts:
                out[i] = read(out[i])
            return tuple(out)

        return read_tuple
    if args and (inner := _nested_reader(args[0])) is not None:
        each = inner
        return lambda value: tuple([each(v) for v in value])
    return None


def _reader(cls: Any) -> Reader:
    """The reader of one item type, made once at import from its annotations."""
    hints = typing.get_type_hints(cls)
    nested = [
        (i, read) for i, name in enumerate(cls._fields) if (read := _nested_reader(hints[name])) is not None
    ]
    size, make = len(cls._fields), cls._make
    if not nested:

        def read_flat(fields: Sequence[Any]) -> Any:
            return make(fields if len(fields) == size and type(fields) is tuple else _fitted(cls, fields))

        return read_flat

    def read_nested(fields: Sequence[Any]) -> Any:
        out = list(fields) if len(fields) == size and type(fields) is tuple else _fitted(cls, fields)
        given = len(fields)
        for i, read in nested:
            if i >= given:
                break  # defaults are what they should be
            if type(out[i]) is not tuple:
                raise TypeError("a nested item is not an array")
            out[i] = read(out[i])
        return make(out)

    return read_nested


def _fast(cls: Any, build: Reader) -> Reader:
    """`build` for fields of exactly our lengths, else the tolerant reader."""
    slow, size = _reader(cls), len(cls._fields)

    def read(fields: Sequence[Any]) -> Any:
        if len(fields) != size:
            return slow(fields)
        try:
            return build(fields)
        except TypeError:
            return slow(fields)

    return read


#: The constructors of NamedTuples are Python functions around this call.
_new: Final = tuple.__new__


def _origin(fields: Any) -> Origin:
    if len(fields) != 5:
        raise TypeError("not an Origin of this version")
    return _new(Origin, fields)


def _stanza(fields: Any) -> Stanza:
    if len(fields) != 9:
        raise TypeError("not a Stanza of this version")
    return _new(Stanza, fields)


#: Wire tag -> reader. The item types of the message path have readers written out: half the time of the general one.
READERS: Final[dict[int, Reader]] = {tag: _reader(cls) for cls, tag in TAGS.items()} | {
    TAGS[Submit]: _fast(Submit, lambda f: _new(Submit, (_origin(f[0]), f[1], f[2], _stanza(f[3])))),
    TAGS[Route]: _fast(Route, lambda f: _new(Route, (_origin(f[0]), _stanza(f[1])))),
    TAGS[Copy]: _fast(Copy, lambda f: _new(Copy, (_origin(f[0]), f[1], f[2], _stanza(f[3])))),
    TAGS[Deliver]: _fast(Deliver, lambda f: _new(Deliver, (f[0], f[1], f[2], f[3], f[4], _stanza(f[5])))),
    TAGS[Handle]: _fast(Handle, lambda f: _new(Handle, (_origin(f[0]), f[1], f[2], f[3], _stanza(f[4])))),
}
