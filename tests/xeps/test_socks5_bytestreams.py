"""XEP-0065: its settings; the proxy is tested in tests/unit/proxy."""

from __future__ import annotations

import pytest
from msgspec import ValidationError, convert

from rookery.shared.xeps.socks5_bytestreams import Options


@pytest.mark.parametrize("fields", [{"port": 65_535}, {"ports": 0}, {"bytes_per_second": 1}])
def test_settings_have_bounds(fields: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        convert(fields, Options)
