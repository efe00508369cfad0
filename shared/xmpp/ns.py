"""XML namespaces of RFC 6120, 6121, 7395 and of stanza-level extensions that the core itself must know.

A XEP's own namespace lives in its file under `shared/xeps`.
"""

from typing import Final

CLIENT = "jabber:client"
SERVER = "jabber:server"
#: What a component's stream declares (XEP-0114).
COMPONENT = "jabber:component:accept"
STREAM = "http://etherx.jabber.org/streams"
STREAM_ERRORS = "urn:ietf:params:xml:ns:xmpp-streams"
STANZA_ERRORS = "urn:ietf:params:xml:ns:xmpp-stanzas"
TLS = "urn:ietf:params:xml:ns:xmpp-tls"
SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
BIND = "urn:ietf:params:xml:ns:xmpp-bind"
SESSION = "urn:ietf:params:xml:ns:xmpp-session"
ROSTER = "jabber:iq:roster"
FRAMING = "urn:ietf:params:xml:ns:xmpp-framing"
XML = "http://www.w3.org/XML/1998/namespace"
DELAY = "urn:xmpp:delay"

#: What begins and ends streams (RFC 6120 section 4, RFC 7395 section 3): within a stanza it could only confuse another parser.
STREAM_LEVEL: Final = frozenset({STREAM, FRAMING})
