"""XEP-0178; whom a certificate logs in is told by tests/unit/xmpp/test_external.py."""

from rookery.shared.config import Config
from rookery.shared.xeps.client_certificates import Options


def test_no_certificate_logs_anybody_in_by_default() -> None:
    assert Config().options(Options).ca_file == ""
