"""XEP-0060: Publish-Subscribe."""

from typing import Annotated, Final, Literal

from rookery.shared.options import Section, about
from rookery.shared.xeps._xep import Target, Xep

NS = "http://jabber.org/protocol/pubsub"
NS_OWNER = NS + "#owner"
NS_DISCO_INFO = "http://jabber.org/protocol/disco#info"
NS_DISCO_ITEMS = "http://jabber.org/protocol/disco#items"

_BOTH: Final = (
    "access-authorize",
    "access-open",
    "access-whitelist",
    "auto-create",
    "config-node",
    "config-node-max",
    "create-and-configure",
    "create-nodes",
    "delete-items",
    "delete-nodes",
    "item-ids",
    "last-published",
    "manage-subscriptions",
    "member-affiliation",
    "meta-data",
    "modify-affiliations",
    "multi-items",
    "multi-subscribe",
    "outcast-affiliation",
    "persistent-items",
    "publish",
    "publish-only-affiliation",
    "publish-options",
    "publisher-affiliation",
    "purge-nodes",
    "retract-items",
    "retrieve-affiliations",
    "retrieve-default",
    "retrieve-default-sub",
    "retrieve-items",
    "retrieve-subscriptions",
    "rsm",
    "subscribe",
    "subscription-notifications",
    "subscription-options",
)
_ACCOUNT: Final = (
    "access-presence",
    "access-roster",
    "auto-subscribe",
    "filtered-notifications",
    "presence-notifications",
    "presence-subscribe",
)


def _features(*names: str) -> tuple[str, ...]:
    return (NS, *sorted(f"{NS}#{name}" for name in names))


#: disco#info features of an account (XEP-0163) and of a service.
ACCOUNT_FEATURES: Final = _features(*_BOTH, *_ACCOUNT)
SERVICE_FEATURES: Final = (
    *_features(*_BOTH, "instant-nodes"),
    "http://jabber.org/protocol/disco#info",
    "http://jabber.org/protocol/disco#items",
    "http://jabber.org/protocol/rsm",
)


class Options(Section, frozen=True):
    """Nodes of services and accounts."""

    create: Annotated[
        Literal["local", "anyone", "nobody"],
        about("Who may create nodes at a service: accounts of hosted domains, anyone, or nobody"),
    ] = "local"
    nodes_per_account: Annotated[int, about("Nodes of one account", "nodes", ge=1)] = 500
    nodes_per_service: Annotated[int, about("Nodes of one service", "nodes", ge=1)] = 100_000
    nodes_per_creator: Annotated[
        int, about("Nodes of one service that the same account made", "nodes", ge=1)
    ] = 100
    items_per_node: Annotated[
        int, about("Items that a node keeps at most; what `max` stands for", "items", ge=1)
    ] = 10_000
    item_bytes: Annotated[int, about("Payload of one item", "bytes", ge=1)] = 262_144
    account_bytes: Annotated[int, about("Payloads of all items of an account", "bytes", ge=1)] = 33_554_432
    subscriptions_per_node: Annotated[int, about("Subscriptions of one node", "subscriptions", ge=1)] = (
        100_000
    )
    page_max: Annotated[int, about("Items of one answer", "items", ge=1)] = 1000
    cache_bytes: Annotated[int, about("Nodes in use that a process keeps in memory", "bytes", ge=1)] = (
        67_108_864
    )


XEP = Xep(
    60,
    "1.30.0",
    "partial",
    features={Target.ACCOUNT: ACCOUNT_FEATURES},
    implemented_in="workers.pubsub",
    note="No collections, leases, digests or list of pending subscriptions by command.",
    options=Options,
)
XEP.forward("pubsub", NS, "pubsub", Target.ACCOUNT)
XEP.forward("pubsub", NS_OWNER, "pubsub", Target.ACCOUNT)
# Nodes of an account are for those who may ask about the account (XEP-0030 section 8).
XEP.forward("pubsub", NS_DISCO_INFO, "query", Target.NODE, types=("get",), subscribers_only=True)
XEP.forward("pubsub", NS_DISCO_ITEMS, "query", Target.NODE, types=("get",), subscribers_only=True)
