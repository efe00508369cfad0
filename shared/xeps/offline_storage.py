"""XEP-0160: Best Practices for Handling Offline Messages."""

from rookery.shared.xeps._xep import Target, Xep

FEATURE = "msgoffline"
XEP = Xep(
    160, "1.0.1", "complete", features={Target.DOMAIN: (FEATURE,)}, implemented_in="router, workers.offline"
)
