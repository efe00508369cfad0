"""Whether the XML parser beneath us is one that upstream still defends."""

from __future__ import annotations

import pyexpat
from typing import Final

#: The first release that bounds what a small hostile document makes it allocate (CVE-2025-59375).
DEFENDED: Final = (2, 7, 2)
REMEDY: Final = "use a newer Python, or one that is linked with a newer expat; fine when your distribution has patched its own"


def outdated(version: tuple[int, int, int] = pyexpat.version_info) -> str:
    """One line about an expat below DEFENDED, "" for a good one. Patches of distributions do not show in the version."""
    if version >= DEFENDED:
        return ""
    ours, good = (".".join(map(str, numbers)) for numbers in (version, DEFENDED))
    return f"expat {ours} is below {good}: small hostile XML can make it take much memory (CVE-2025-59375)"
