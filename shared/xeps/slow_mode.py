"""XEP-0500: MUC Slow Mode."""

from typing import Final

from rookery.shared.xeps._xep import Xep

INFO_FIELD: Final = "muc#roominfo_slow_mode_duration"
XEP = Xep(500, "0.1.1", "complete", implemented_in="workers.muc", note="set by the owners of a room")
