"""XEP-0433: Extended Channel Search."""

from typing import Final

from rookery.shared.xeps._xep import Target, Xep

_BASE: Final = "urn:xmpp:channel-search:0"
SEARCH: Final = _BASE + ":search"
PARAMS: Final = _BASE + ":search-params"
ERROR: Final = _BASE + ":error"
BY_USERS: Final = "{" + _BASE + ":order}nusers"
BY_ADDRESS: Final = "{" + _BASE + ":order}address"
XEP = Xep(
    433,
    "0.1.0",
    "complete",
    features={Target.SERVICE: (SEARCH,)},
    implemented_in="workers.muc",
    note="over the listed rooms of the service that is asked",
)
