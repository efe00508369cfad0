"""How many examples property tests try: all of them, or a tenth in `make check`, which has to take less than a minute."""

from __future__ import annotations

import os
from typing import Final

#: Set by `make check`.
QUICK: Final = os.environ.get("ROOKERY_QUICK_TESTS") == "1"
#: Examples of tests that do not say how many, and steps of their state machines.
DEFAULT: Final = 15 if QUICK else 100
STEPS: Final = 20 if QUICK else 50


def many(count: int) -> int:
    """So many examples when all tests run."""
    return max(10, count // 10) if QUICK else count
