"""Statements about shared roster groups that several kinds of process need: pieces of SQL, made for one account or for a pair.

The tables and the views `group_member` and `shared_contact` stand in the migrations.
"""

from __future__ import annotations

from typing import Final

#: Whether there is any group at all; Postgres asks once in a statement, and without groups the rest is not looked at.
ANY: Final = "(SELECT EXISTS (SELECT FROM roster_group))"


def labels(account_id: str, contact: str) -> str:
    """SQL of the labels (text[], each once) under which an account sees a contact; both are SQL, of an id and of a bare JID.

    It begins at the two accounts, so its cost does not depend on the size of the groups.
    """
    return f"""ARRAY(
    SELECT DISTINCT g.label FROM account other
    JOIN group_member they ON they.account_id = other.id
    JOIN group_member me ON me.group_id = they.group_id AND me.account_id = {account_id}
    JOIN roster_group g ON g.id = me.group_id
    WHERE other.localpart = split_part({contact}, '@', 1) AND other.domain = split_part({contact}, '@', 2)
        AND other.id <> {account_id} ORDER BY g.label)"""  # noqa: S608  constants only


def labels_if_any(account_id: str, contact: str) -> str:
    """The same; without groups it costs nothing."""
    return f"CASE WHEN {ANY} THEN {labels(account_id, contact)} ELSE '{{}}'::text[] END"


def shares(account_id: str, contact: str) -> str:
    """SQL that tells whether an account and a contact are in one group."""
    return f"""({ANY} AND EXISTS (
    SELECT FROM account other
    JOIN group_member they ON they.account_id = other.id
    JOIN group_member me ON me.group_id = they.group_id AND me.account_id = {account_id}
    WHERE other.localpart = split_part({contact}, '@', 1) AND other.domain = split_part({contact}, '@', 2)
        AND other.id <> {account_id}))"""


def contacts(account_id: str) -> str:
    """SQL that selects the bare JIDs that an account sees through groups (repeated when it is through several): for a UNION."""
    return f"SELECT contact FROM shared_contact WHERE account_id = {account_id} AND {ANY}"  # noqa: S608
