"""XEP-0157."""

from rookery.shared.xeps.contact_addresses import FORM_TYPE, server_info
from rookery.shared.xeps.data_forms import values


def test_addresses_become_a_form() -> None:
    info = server_info((("abuse-addresses", ("mailto:a@x", "xmpp:a@x")), ("admin-addresses", ())))
    assert info is not None
    assert values(info) == {"FORM_TYPE": [FORM_TYPE], "abuse-addresses": ["mailto:a@x", "xmpp:a@x"]}


def test_a_domain_without_addresses_has_no_form() -> None:
    assert server_info(()) is None
    assert server_info((("other", ("mailto:a@x",)),)) is None
