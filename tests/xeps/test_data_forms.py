"""XEP-0004."""

from rookery.shared.xeps.data_forms import Field, form, values
from rookery.shared.xmpp.parse import parse_element


def test_a_form_begins_with_its_type() -> None:
    x = form("result", "urn:x", [Field("a", ("1", "2"), "text-multi"), Field("b", ())])
    assert x.xml() == (
        "<x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE' type='hidden'><value>urn:x</value></field>"
        "<field var='a' type='text-multi'><value>1</value><value>2</value></field><field var='b'/></x>"
    )
    assert values(x) == {"FORM_TYPE": ["urn:x"], "a": ["1", "2"], "b": []}


def test_a_field_without_a_name_is_left_out() -> None:
    assert values(parse_element(b"<x xmlns='jabber:x:data'><field><value>1</value></field></x>")) == {}
