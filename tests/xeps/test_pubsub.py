"""XEP-0060: what is announced, and who answers."""

from __future__ import annotations

from rookery.shared.xeps._xep import Forward, Target
from rookery.shared.xeps.pubsub import ACCOUNT_FEATURES, NS, NS_DISCO_INFO, NS_OWNER, SERVICE_FEATURES
from rookery.shared.xeps.registry import FEATURES, lookup


def test_clients_of_omemo_find_what_they_look_for() -> None:
    """What Conversations, Gajim and Dino ask of an account before they publish keys and bookmarks."""
    wanted = (
        "publish",
        "publish-options",
        "persistent-items",
        "access-whitelist",
        "config-node-max",
        "multi-items",
    )
    assert {f"{NS}#{name}" for name in wanted} <= set(FEATURES[Target.ACCOUNT])
    assert set(ACCOUNT_FEATURES) <= set(FEATURES[Target.ACCOUNT])
    assert f"{NS}#instant-nodes" in SERVICE_FEATURES


def test_the_pubsub_worker_answers() -> None:
    for target, type, ns, name in (
        (Target.ACCOUNT, "get", NS, "pubsub"),
        (Target.ACCOUNT, "set", NS_OWNER, "pubsub"),
        (Target.NODE, "get", NS_DISCO_INFO, "query"),
    ):
        entry = lookup(target, type, ns, name)
        assert isinstance(entry, Forward)
        assert entry.kind == "pubsub"
