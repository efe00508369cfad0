from __future__ import annotations

from rookery.shared.store.rows import HINTS
from rookery.shared.xeps._xep import Target
from rookery.shared.xeps.processing_hints import NS
from rookery.shared.xeps.registry import features


def test_hints_are_announced_under_the_name_that_the_store_reads() -> None:
    assert NS == HINTS
    assert all(NS in features(target) for target in (Target.DOMAIN, Target.ACCOUNT))
