"""Inputs that look like XMPP, and how to spoil them: the structure that the fuzzers know."""

from __future__ import annotations

from itertools import pairwise
from random import Random
from typing import Final

HEADERS: Final = (
    b"<?xml version='1.0'?><stream:stream to='example.org' version='1.0' xml:lang='en' xmlns='jabber:client'"
    b" xmlns:stream='http://etherx.jabber.org/streams'>",
    b"<stream xmlns='http://etherx.jabber.org/streams' to='example.org'>",
    b"<s:stream xmlns:s='http://etherx.jabber.org/streams' xmlns='jabber:client' xmlns:p='urn:p' xmlns:q='urn:&amp;q'>",
)

FIRST_LEVEL: Final = (
    b"<message to='bob@example.org/x' type='chat' id='1' xml:lang='en'><body>Hi &amp; bye</body>"
    b"<active xmlns='http://jabber.org/protocol/chatstates'/></message>",
    b"<iq type='set' id='2'><query xmlns='jabber:iq:roster'><item jid='a@b' name='A'><group>G</group></item></query></iq>",
    b"<presence><show>away</show><priority>-1</priority><c xmlns='http://jabber.org/protocol/caps' ver='x'/></presence>",
    b"<presence to='a@b' type='unavailable'/>",
    b"<message><forwarded xmlns='urn:xmpp:forward:0'><delay xmlns='urn:xmpp:delay' stamp='2026-01-01T00:00:00Z'/>"
    b"<message xmlns='jabber:client' to='c@d'><body>x</body></message></forwarded></message>",
    b"<m:message xmlns:m='jabber:client' xmlns:n='urn:n' n:a='1' m:b='2'><n:x n:y='z'><x xmlns=''/></n:x></m:message>",
    b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGEAYg==</auth>",
    b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
    b"<a xmlns='urn:xmpp:sm:3' h='1'/>",
    b"<iq type='result' id='\xc3\xa9\xf0\x9f\xa6\x8a'/>",
    b"<message><body><![CDATA[<not/> &markup;]]>&#13;&#x9;]]&gt;</body></message>",
    b"<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>",
    b" \r\n\t",
    b"</stream:stream>",
)

FRAMES: Final = (
    b"<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='example.org' version='1.0'/>",
    b"<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>",
    b"<message xmlns='jabber:client' to='a@b'><body>x</body></message>",
    b"<iq xmlns='jabber:client' type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>",
    b"<r xmlns='urn:xmpp:sm:3'/>",
    b"<?xml version='1.0'?><presence xmlns='jabber:client'/>",
)

#: What parsers stumble over.
TOKENS: Final = (
    *(
        b"<",
        b">",
        b"/>",
        b"</",
        b"'",
        b'"',
        b"=",
        b"&",
        b";",
        b" ",
        b"\r",
        b"\n",
        b"\t",
        b"]]>",
        b"<![CDATA[",
        b"<!--",
        b"-->",
    ),
    *(
        b"<?",
        b"?>",
        b"<?xml version='1.0'?>",
        b"<!DOCTYPE a [<!ENTITY b 'c'>]>",
        b"&b;",
        b"&lt;",
        b"&#0;",
        b"&#13;",
    ),
    *(
        b"&#xD800;",
        b"&#xFFFE;",
        b"&#x10FFFF;",
        b"&#38;#60;",
        b"\0",
        b"\x01",
        b"\x7f",
        b"\x80",
        b"\xc0\xbc",
        b"\xed\xa0\x80",
    ),
    *(
        b"\xf4\x90\x80\x80",
        b"\xef\xbb\xbf",
        b"\xef\xbf\xbe",
        b"\xff\xfe",
        b"\xc2\x85",
        b"\xe2\x80\xa8",
        b"\xc3",
        b"\xf0\x9f",
    ),
    *(
        b" xmlns=''",
        b" xmlns='jabber:client'",
        b" xmlns='jabber:server'",
        b" xmlns:p='urn:p'",
        b" xmlns:stream='x'",
    ),
    *(
        b" xmlns='http://etherx.jabber.org/streams'",
        b" xmlns='http://www.w3.org/XML/1998/namespace'",
        b" xmlns:p=''",
    ),
    *(
        b" xmlns='jabber:client message'",
        b" xmlns:xml='x'",
        b" xmlns:xmlns='x'",
        b" p:a='1'",
        b" xml:lang='x'",
        b" xml:space='y'",
    ),
    *(
        b"<p:x>",
        b"</p:x>",
        b"<x>",
        b"</x>",
        b"<x/>",
        b"<xml:x/>",
        b"<stream:stream>",
        b"</stream:stream>",
        b"<message>",
    ),
    *(
        b"</message>",
        b"<iq/>",
        b"<:x/>",
        b"<p:q:x/>",
        b" to='a@b' to='c@d'",
        b" p:to='x'",
        b" a0:x=''",
        b" xmlns:a0='u'",
        b"xmlns",
    ),
)


def spoil(random: Random, data: bytes) -> bytes:
    """Change `data` in one place."""
    out = bytearray(data)
    at = random.randrange(len(out) + 1)
    match random.randrange(7):
        case 0 | 1 | 2:
            out[at:at] = random.choice(TOKENS)
        case 3:
            out[at : at + 1] = bytes([random.randrange(256)])
        case 4:
            del out[at : at + random.randrange(1, 12)]
        case 5:
            out[at:at] = out[at : at + random.randrange(1, 40)] * random.choice((1, 1, 2, 30))
        case _:
            end = min(len(out), at + random.randrange(1, 20))
            out[at:end] = random.choice(TOKENS)
    return bytes(out)


def compose(random: Random, parts: tuple[bytes, ...], most: int) -> bytes:
    """Some first-level elements, spoiled in a few places or not at all."""
    data = b"".join(random.choices(parts, k=random.randrange(1, most)))
    for _ in range(random.choice((0, 0, 1, 1, 1, 2, 4))):
        data = spoil(random, data)
    return data


def cut(random: Random, data: bytes) -> list[bytes]:
    """Arrival in pieces."""
    match random.randrange(4):
        case 0:
            return [data]
        case 1:
            size = random.randrange(1, 40)
            return [data[i : i + size] for i in range(0, len(data), size)]
        case _:
            places = sorted(
                {0, len(data), *(random.randrange(len(data) + 1) for _ in range(random.randrange(1, 5)))}
            )
            return [data[a:b] for a, b in pairwise(places)]
