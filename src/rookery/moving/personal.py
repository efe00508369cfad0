"""What a server knows of one person, readable: the record as JSON, and what stands elsewhere under the person's address."""

from __future__ import annotations

from typing import Any, Final

from rookery.moving.pie_rooms import stamped
from rookery.moving.records import Contact, Message, Node, Person
from rookery.shared.db.api import Connection

#: Where an address stands outside of its account: name in the answer, and the statement. $1 is the bare JID, $2 the account's number.
_ELSEWHERE: Final = {
    "rooms": """
SELECT r.jid AS room, a.affiliation FROM room_affiliation a JOIN room r ON r.id = a.room_id WHERE a.jid = $1 AND $2::bigint > 0""",
    "present_in_rooms": """
SELECT r.jid AS room, o.nick, o.jid AS as_ FROM room_occupant o JOIN room r ON r.id = o.room_id
WHERE split_part(o.jid, '/', 1) = $1 AND $2::bigint > 0""",
    "node_affiliations": """
SELECT n.owner, n.name AS node, a.affiliation FROM pubsub_affiliation a JOIN pubsub_node n ON n.id = a.node_id
WHERE a.jid = $1 AND $2::bigint > 0""",
    "node_subscriptions": """
SELECT n.owner, n.name AS node, s.jid, s.state FROM pubsub_subscription s JOIN pubsub_node n ON n.id = s.node_id
WHERE s.bare = $1 AND $2::bigint > 0""",
    "in_rosters_of": """
SELECT a.localpart || '@' || a.domain AS account FROM roster_item r JOIN account a ON a.id = r.account_id
WHERE r.contact = $1 AND $2::bigint > 0""",
    "shared_groups": """
SELECT g.name, g.label FROM group_member m JOIN roster_group g ON g.id = m.group_id WHERE m.account_id = $2 AND $1::text <> ''""",
    "tags": "SELECT tag FROM account_tag WHERE account_id = $2 AND $1::text <> ''",
    "uploads": """
SELECT name, media_type, size, created::text AS created, expires::text AS expires FROM upload
WHERE account_id = $2 AND $1::text <> ''""",
}
_ACCOUNT: Final = (
    "SELECT id, last_seen::text AS last_seen, last_status FROM account WHERE localpart = $1 AND domain = $2"
)


async def elsewhere(conn: Connection, local: str, domain: str) -> dict[str, Any]:
    """What is stored about an account outside of its own parts."""
    account = await conn.fetchrow(_ACCOUNT, local, domain)
    if account is None:
        return {}
    out: dict[str, Any] = {"last_seen": account["last_seen"], "last_status": account["last_status"]}
    for name, statement in _ELSEWHERE.items():
        rows = await conn.fetch(statement, f"{local}@{domain}", account["id"])
        out[name] = [dict(row) for row in rows]
    return out


def told(person: Person) -> dict[str, Any]:
    """The record as JSON has it. Keys are named, not told."""
    return {
        "jid": person.jid,
        "email": person.email,
        "disabled": person.disabled,
        "created": stamped(person.created) if person.created else None,
        "password_stored_as": [one.mechanism for one in person.keys],
        "contacts": [_contact(one) for one in person.contacts],
        "vcard": person.card.decode() or None,
        "private": [xml.decode() for _, _, xml in person.private],
        "blocked": list(person.blocked),
        "archive_preferences": person.preferences._asdict() if person.preferences else None,
        "messages": [_message(one) for one in person.messages],
        "nodes": [_node(one) for one in person.nodes],
    }


def _contact(one: Contact) -> dict[str, Any]:
    said = one._asdict() | {
        "groups": list(one.groups),
        "request": one.request and one.request.encode().decode(),
    }
    said["from"] = said.pop("from_")
    return said


def _message(one: Message) -> dict[str, Any]:
    return {
        "at": stamped(one.stamp),
        "with": one.peer,
        "sent": one.outgoing,
        "in_archive": one.archived,
        "waits": one.owed,
        "stanza": one.stanza.encode().decode(),
    }


def _node(one: Node) -> dict[str, Any]:
    return {
        "name": one.name,
        "settings": one.config.changed,
        "items": [
            {
                "id": item.id,
                "publisher": item.publisher,
                "at": stamped(item.published),
                "payload": item.payload.decode(),
            }
            for item in one.items
        ],
        "affiliations": dict(one.affiliations),
        "subscribers": [item._asdict() for item in one.subscribers],
    }
