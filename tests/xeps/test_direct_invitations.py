"""XEP-0249: an invitation from account to account is a message like any other."""

from __future__ import annotations

from rookery.shared.xeps import registry
from rookery.shared.xeps._xep import Target


def test_it_is_declared_and_nothing_of_ours_takes_it() -> None:
    (declared,) = [one for one in registry.XEPS if one.module == "direct_invitations"]
    assert (declared.xep.number, declared.xep.entries) == (249, {})
    for target in Target:
        assert "jabber:x:conference" not in registry.features(target)
