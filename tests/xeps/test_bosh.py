"""XEP-0124: its settings; the sessions are tested in tests/unit/edge/bosh."""

from __future__ import annotations

import pytest
from msgspec import ValidationError, convert

from rookery.shared.xeps.bosh import Options


@pytest.mark.parametrize("fields", [{"wait_seconds": 0}, {"hold_requests": 9}, {"inactivity_seconds": 1}])
def test_settings_have_bounds(fields: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        convert(fields, Options)
