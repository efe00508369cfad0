"""Whatever document comes as a body of BOSH: it is read, or refused with a condition of XEP-0124, and never anything else."""

from __future__ import annotations

import random
import re

import pytest

from rookery.edge.bosh.wrapper import MAX_RID, BadBodyError, read, read_wish
from rookery.shared.xmpp.body import BodyParser
from rookery.shared.xmpp.errors import StreamError
from rookery.shared.xmpp.events import StreamLimits

LIMITS = StreamLimits(5000, 20, 5, 10)
SEEDS = (
    b"<body xmlns='http://jabber.org/protocol/httpbind' xmlns:xmpp='urn:xmpp:xbosh' to='one.example' wait='60' hold='1' rid='1573741820'"
    b" content='text/xml; charset=utf-8' ver='1.6' xmpp:version='1.0' xml:lang='en'/>",
    b"<body rid='7' sid='abc' xmlns='http://jabber.org/protocol/httpbind' key='x' newkey='y'>"
    b"<message xmlns='jabber:client' to='a@b'><body>hi</body></message><presence xmlns='jabber:client'/></body>",
    b"<body rid='8' sid='abc' pause='60' ack='5' type='terminate' xmlns='http://jabber.org/protocol/httpbind'/>",
)
BITS = (
    b"'",
    b"<",
    b"/>",
    b"]]>",
    b"&#0;",
    b"&x;",
    b"<!DOCTYPE a>",
    b"<?x?>",
    b"\xff",
    b"-",
    b"9" * 40,
    b"xmlns=''",
    b"<a>" * 80,
)


def mangled(chance: random.Random) -> bytes:
    """A document with a few mistakes."""
    data = bytearray(chance.choice(SEEDS))
    for _ in range(chance.randint(0, 4)):
        at = chance.randrange(len(data))
        match chance.randrange(4):
            case 0:
                data[at] = chance.randrange(256)
            case 1:
                del data[at : at + chance.randint(1, 30)]
            case 2:
                data[at:at] = chance.choice(BITS)
            case _:
                data[at:at] = data[at : at + chance.randint(1, 90)]
        data = data or bytearray(b"<")
    return bytes(data)


@pytest.mark.parametrize("seed", range(4))
def test_whatever_comes(seed: int) -> None:
    chance, taken, conditions = random.Random(seed), 0, set[str]()
    for _ in range(500):
        data = mangled(chance)
        try:
            wrapped = BodyParser(lambda sid: LIMITS).parse(data)
            ask = read(wrapped, len(data))
            wish = read_wish(wrapped)
        except (BadBodyError, StreamError) as refused:
            conditions.add(refused.condition)
        else:
            taken += 1
            assert -1 <= ask.rid <= MAX_RID, data
            assert ask.size == len(data)
            assert wish is not None
    assert taken > 20
    assert all(re.fullmatch(r"[a-z-]+", condition) for condition in conditions)
