"""XEP-0045: what it declares; the room itself: tests/unit/muc/room."""

from __future__ import annotations

import msgspec

from rookery.shared.xeps import registry
from rookery.shared.xeps._xep import Target
from rookery.shared.xeps.multi_user_chat import NS, Options


def test_services_and_rooms_tell_the_feature_and_accounts_do_not() -> None:
    assert NS in registry.features(Target.SERVICE)
    assert NS in registry.features(Target.ROOM)
    assert NS not in registry.features(Target.ACCOUNT)
    assert NS not in registry.features(Target.DOMAIN)


def test_every_limit_has_a_value_that_lets_people_talk() -> None:
    for field in msgspec.structs.fields(Options):
        value = getattr(Options(), field.name)
        assert not isinstance(value, int | float) or isinstance(value, bool) or value >= 0, field.name
    assert Options().messages_per_second > 0
