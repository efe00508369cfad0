"""XEP-0157: Contact Addresses for XMPP Services."""

from collections.abc import Sequence

from rookery.shared.xeps._xep import Xep
from rookery.shared.xeps.data_forms import Field, form
from rookery.shared.xmpp.xml import Element

FORM_TYPE = "http://jabber.org/network/serverinfo"
#: Registered fields (section 5.3).
FIELDS = (
    "abuse-addresses",
    "admin-addresses",
    "feedback-addresses",
    "sales-addresses",
    "security-addresses",
    "status-addresses",
    "support-addresses",
)
XEP = Xep(157, "1.1.1", "complete", implemented_in="shared.xeps.service_discovery", note="Set per domain.")


def server_info(contacts: Sequence[tuple[str, Sequence[str]]]) -> Element | None:
    """The extended disco#info form with the contact addresses of a domain; None when it has none."""
    fields = [Field(var, tuple(uris), "list-multi") for var, uris in contacts if var in FIELDS and uris]
    return form("result", FORM_TYPE, fields) if fields else None
