"""XEP-0128: Service Discovery Extensions."""

from rookery.shared.xeps._xep import Xep

XEP = Xep(
    128,
    "1.0.1",
    "complete",
    implemented_in="shared.xeps.service_discovery",
    note="Carries XEP-0157 addresses.",
)
