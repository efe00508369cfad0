"""XEP-0115."""

from rookery.shared.xeps import registry
from rookery.shared.xeps._xep import Target
from rookery.shared.xeps.entity_caps import NODE, server_node, server_ver, stream_feature, verification_string
from rookery.shared.xmpp.parse import parse_element

SIMPLE = """<query xmlns='http://jabber.org/protocol/disco#info'>
<identity category='client' name='Exodus 0.9.1' type='pc'/>
<feature var='http://jabber.org/protocol/caps'/><feature var='http://jabber.org/protocol/disco#items'/>
<feature var='http://jabber.org/protocol/disco#info'/><feature var='http://jabber.org/protocol/muc'/></query>"""
COMPLEX = """<query xmlns='http://jabber.org/protocol/disco#info'>
<identity xml:lang='en' category='client' name='Psi 0.11' type='pc'/>
<identity xml:lang='el' category='client' name='Ψ 0.11' type='pc'/>
<feature var='http://jabber.org/protocol/caps'/><feature var='http://jabber.org/protocol/disco#info'/>
<feature var='http://jabber.org/protocol/disco#items'/><feature var='http://jabber.org/protocol/muc'/>
<x xmlns='jabber:x:data' type='result'>
<field var='FORM_TYPE' type='hidden'><value>urn:xmpp:dataforms:softwareinfo</value></field>
<field var='ip_version'><value>ipv4</value><value>ipv6</value></field>
<field var='os'><value>Mac</value></field><field var='os_version'><value>10.5.1</value></field>
<field var='software'><value>Psi</value></field><field var='software_version'><value>0.11</value></field>
</x></query>"""
FEATURES = registry.FEATURES[Target.DOMAIN]


def test_the_examples_of_the_specification() -> None:
    """Sections 5.2 and 5.3."""
    assert verification_string(parse_element(SIMPLE.encode())) == "QgayPKawpkPSDYmwT/WM94uAlu0="
    assert verification_string(parse_element(COMPLEX.encode())) == "q07IKJEyjvHSyhy//CH0CxmKi8w="


def test_the_order_of_the_answer_does_not_matter() -> None:
    query = parse_element(COMPLEX.encode())
    query.children.reverse()
    assert verification_string(query) == "q07IKJEyjvHSyhy//CH0CxmKi8w="


def test_a_form_without_a_type_is_left_out() -> None:
    query = parse_element(SIMPLE.encode())
    query.children.append(
        parse_element(b"<x xmlns='jabber:x:data'><field var='os'><value>Mac</value></field></x>")
    )
    assert verification_string(query) == "QgayPKawpkPSDYmwT/WM94uAlu0="


def test_the_stream_feature_names_what_disco_answers() -> None:
    contacts = (("abuse-addresses", ("mailto:a@example.org",)),)
    feature = stream_feature(FEATURES, contacts)
    assert feature.attrs == {"hash": "sha-1", "node": NODE, "ver": server_ver(FEATURES, contacts)}
    assert server_node(FEATURES, contacts) == f"{NODE}#{feature.get('ver')}"
    assert server_ver(FEATURES, ()) != server_ver(FEATURES, contacts)
