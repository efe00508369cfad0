"""XEP-0480; the tasks on a stream are in tests/unit/edge/login/test_upgrading.py."""

from __future__ import annotations

import pytest

from rookery.shared.xeps import sasl_upgrade
from rookery.shared.xeps.sasl_upgrade import Options, kept, proceed, salt, wanted

OFFERED = ("SCRAM-SHA-256", "SCRAM-SHA-512")


def test_elements() -> None:
    (feature,) = sasl_upgrade.features(["SCRAM-SHA-256"])
    assert feature.xml() == "<upgrade xmlns='urn:xmpp:sasl:upgrade:0'>UPGR-SCRAM-SHA-256</upgrade>"
    assert proceed("SCRAM-SHA-256", "dj0=").xml() == (
        "<continue xmlns='urn:xmpp:sasl:2'><additional-data>dj0=</additional-data>"
        "<tasks><task>UPGR-SCRAM-SHA-256</task></tasks></continue>"
    )
    assert salt(b"A_SXCRXQ6sek8bf_Z", 4096).xml() == (
        "<task-data xmlns='urn:xmpp:sasl:2'><salt xmlns='urn:xmpp:scram-upgrade:0' iterations='4096'>"
        "QV9TWENSWFE2c2VrOGJmX1o=</salt></task-data>"
    )


@pytest.mark.parametrize(
    ("tasks", "missing", "found"),
    [
        (["UPGR-SCRAM-SHA-256"], OFFERED, ["SCRAM-SHA-256"]),
        (["UPGR-SCRAM-SHA-512", "UPGR-SCRAM-SHA-256"], OFFERED, ["SCRAM-SHA-512", "SCRAM-SHA-256"]),
        (["UPGR-SCRAM-SHA-256", "UPGR-SCRAM-SHA-256"], OFFERED, ["SCRAM-SHA-256"]),
        (["UPGR-SCRAM-SHA-256"], ["SCRAM-SHA-512"], []),
        (["UPGR-SCRAM-SHA-1"], ["SCRAM-SHA-1"], []),
        (["SCRAM-SHA-256", "", "UPGR-"], OFFERED, []),
    ],
)
def test_tasks_of_a_client(tasks: list[str], missing: list[str], found: list[str]) -> None:
    assert wanted(tasks, OFFERED, missing) == found


def test_keys_are_kept_for_what_is_offered_and_what_is_gathered() -> None:
    gathering = Options(mechanisms=("SCRAM-SHA-512", "SCRAM-SHA-1"))
    assert kept(("SCRAM-SHA-1",), gathering) == ("SCRAM-SHA-1", "SCRAM-SHA-512")
    assert kept(("SCRAM-SHA-1",), Options(enabled=False, mechanisms=("SCRAM-SHA-512",))) == ("SCRAM-SHA-1",)
