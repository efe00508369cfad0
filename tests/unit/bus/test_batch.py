"""The wire form: every item survives it, other versions are tolerated as documented, hostile bytes are refused."""

from __future__ import annotations

import typing
from collections.abc import Sequence
from types import UnionType
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rookery.shared.bus import batch
from rookery.shared.bus.batch import (
    BadBatch,
    Head,
    WrongVersion,
    pack_batch,
    pack_item,
    read_item,
    unpack_batch,
)
from rookery.shared.bus.messages import (
    TAGS,
    VERSION,
    Item,
    Kind,
    Mirror,
    MirrorSession,
    Origin,
    Probe,
    Route,
    SendPresence,
)
from rookery.shared.xmpp.stanza import Stanza

HEAD = Head(VERSION, "edge1", 7, 3, 2, 0, 9, 4, 4096, 2**21)
STANZA = Stanza(
    "message", "chat", "b@x", "a@x/r", "1", "", (("k", "v"),), (("jabber:client", "body"),), b"<body/>"
)


def _values(annotation: Any) -> st.SearchStrategy[Any]:
    """Values of a field's type as the unpacker gives them back: tuples for sequences."""
    if isinstance(annotation, type) and issubclass(annotation, tuple) and hasattr(annotation, "_fields"):
        return _items(annotation)
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    assert origin is not UnionType, "the wire has no unions"
    if origin is tuple:
        return st.tuples(*(_values(arg) for arg in args))
    if Sequence in (origin, annotation):
        # The annotations of a compiled class do not say of what: there it is pairs of strings.
        of = _values(args[0]) if args else st.tuples(st.text(max_size=8), st.text(max_size=8))
        return st.lists(of, max_size=3).map(tuple)
    simple: dict[Any, st.SearchStrategy[Any]] = {
        int: st.integers(-(2**63), 2**64 - 1),
        str: st.text(max_size=8),
        bytes: st.binary(max_size=8),
        bool: st.booleans(),
        object: st.integers(0, 9),
    }
    return simple[annotation]


def _items(cls: Any) -> st.SearchStrategy[Any]:
    return st.tuples(*(_values(hint) for hint in typing.get_type_hints(cls).values())).map(cls._make)


def _round_trip(item: Item, call: int = 0) -> Any:
    head, items = unpack_batch(pack_batch(HEAD, [pack_item((Kind.ROUTER, 200, 2**40, item, call))]))
    assert head == HEAD
    entry = read_item(items[0])
    assert entry is not None
    assert entry[:3] == (Kind.ROUTER, 200, 2**40)
    assert entry[4] == call
    return entry[3]


@pytest.mark.parametrize("cls", TAGS)
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_every_item_comes_back_as_it_was(cls: type, data: st.DataObject) -> None:
    item = data.draw(_items(cls))
    back = _round_trip(item, data.draw(st.integers(0, 2**40)))
    assert back == item
    assert _types(back) == _types(item), "nested items are rebuilt as their types"


def _types(value: Any) -> Any:
    return (type(value), [_types(part) for part in value]) if isinstance(value, tuple) else type(value)


def test_union_of_items_and_tags_are_the_same_and_tags_are_unique() -> None:
    assert set(typing.get_args(Item)) == set(TAGS)
    assert len(set(TAGS.values())) == len(TAGS)


def test_written_out_readers_agree_with_the_general_one() -> None:
    route = Route(Origin(b"s", 1, "edge1"), STANZA)
    raw = msgpack.unpackb(msgpack.packb(route), use_list=False)
    assert batch.READERS[TAGS[Route]](raw) == batch._reader(Route)(raw) == route


def test_fields_of_a_newer_version_are_ignored_and_missing_ones_get_their_default() -> None:
    newer = (TAGS[Route], 1, 5, 1, ((b"s", 1, "edge1", 0, 0, "new"), (*STANZA, "new"), "new"))
    entry = read_item(newer)
    assert entry is not None
    assert entry[3] == Route(Origin(b"s", 1, "edge1"), STANZA)
    older = read_item((TAGS[Route], 1, 5, 1, ((b"s", 1, "edge1"), tuple(STANZA))))
    assert older is not None
    assert older[3] == Route(Origin(b"s", 1, "edge1"), STANZA)
    assert read_item((TAGS[SendPresence], 1, 5, 1, ("a@x", "b@x", True))) == (
        Kind.ROUTER, 5, 1, SendPresence("a@x", "b@x", True, False), 0,
    )  # fmt: skip


@pytest.mark.parametrize(
    "raw",
    [
        (),
        (999, 1, 5, 1, ()),
        (TAGS[Probe], 1, 5, 1, ("a@x",)),
        (TAGS[Probe], 1, 5, 1, "ab"),
        (TAGS[Probe], 99, 5, 1, ("a@x", "b@x")),
        (TAGS[Probe], -1, 5, 1, ("a@x", "b@x")),
        (TAGS[Probe], 1, "5", 1, ("a@x", "b@x")),
        (TAGS[Probe], 1, 5, 1, ("a@x", "b@x"), "call"),
        ([], 1, 5, 1, ()),
        (TAGS[Route], 1, 5, 1, ("origin", tuple(STANZA))),
        (TAGS[Mirror], 1, 5, 1, ("edge1", 1, ((1, 2),), True)),
        7,
        "items",
        None,
    ],
)
def test_what_is_no_item_is_none(raw: Any) -> None:
    assert read_item(raw) is None


def test_nested_sequences_of_items_are_rebuilt() -> None:
    session = MirrorSession(1, b"s", "a@x/r", 2, 3, 1, b"", ((2, b"s", 9),))
    back = _round_trip(Mirror("edge1", 5, (session,), True))
    assert isinstance(back.sessions[0], MirrorSession)


# --- hostile batches (nobody but a process with our credentials could send them) ---


def _deep(levels: int) -> bytes:
    return b"\x91" * levels + b"\xc0"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xc1",
        b"\xc0",
        b"\x92\x90",
        pack_batch(HEAD, []) + b"trailing",
        pack_batch(HEAD, [])[:-1],
        _deep(10_000),
        b"\xdd\xff\xff\xff\xff",  # an array of 2^32 - 1
        b"\xdf\xff\xff\xff\xff",  # a map of as many
        b"\xc6\x40\x00\x00\x00",  # 1 GiB of bytes
        b"\xc7\x01\x05\x00",  # an extension
        b"\xd6\xff\x00\x00\x00\x00",  # a timestamp
        b"\x81\x01\x02",
        b"\xa2\xff\xfe",  # not UTF-8
        msgpack.packb([list(HEAD), {}]),
        msgpack.packb([[VERSION], []]),
        msgpack.packb([[VERSION, 5, *HEAD[2:]], []]),
        msgpack.packb([[*HEAD[:2], "7", *HEAD[3:]], []]),
        msgpack.packb([[True, *HEAD[1:]], []]),
        msgpack.packb([[float("nan"), *HEAD[1:]], []]),
        msgpack.packb([list(HEAD), [1] * (batch.MAX_ARRAY + 1)]),
        b"x" * (batch.MAX_BATCH + 1),
    ],
    ids=range(22),
)
def test_hostile_bytes_are_refused(raw: bytes) -> None:
    with pytest.raises(BadBatch):
        unpack_batch(raw)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_never_escape_as_another_error(raw: bytes) -> None:
    try:
        _, items = unpack_batch(raw)
    except BadBatch:
        return
    for item in items:
        read_item(item)


@pytest.mark.parametrize(
    ("version", "readable"),
    [(VERSION - 2, False), (VERSION - 1, True), (VERSION, True), (VERSION + 1, False)],
)
def test_this_and_the_previous_version_are_read(version: int, readable: bool) -> None:
    raw = pack_batch(HEAD._replace(version=version), [])
    if readable:
        assert unpack_batch(raw)[0].version == version
    else:
        with pytest.raises(WrongVersion):
            unpack_batch(raw)


def test_more_head_fields_of_a_newer_writer_are_ignored() -> None:
    assert unpack_batch(msgpack.packb([[*HEAD, "new"], []]))[0] == HEAD
