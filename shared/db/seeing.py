"""Pieces of SQL that tell whose presence an account may see: what all the probes of a login would ask, in the statement that reads its roster."""

from __future__ import annotations


def opens(contact: str, asker: str) -> str:
    """SQL that tells whether a contact is an account that lets the asker, whatever its resource, see its presence; both are SQL, of bare JIDs.

    Who blocks anything of the asker's, or sees it through a group alone, is left for the probe itself to ask.
    """
    domain = f"split_part({asker}, '@', 2)"
    return f"""EXISTS (
    SELECT FROM account c JOIN roster_item r ON r.account_id = c.id AND r.contact = {asker} AND r.sub_from
    WHERE c.localpart = split_part({contact}, '@', 1) AND c.domain = split_part({contact}, '@', 2) AND NOT EXISTS (
        SELECT FROM blocked b WHERE b.account_id = c.id
        AND split_part(b.jid, '/', 1) IN ({asker}, {domain})))"""  # noqa: S608  constants only


def seeing(account: str) -> str:
    """SQL of columns for a row of `account`, named here: who sees it, whom it sees, whom it blocks, and which of its contacts are open to it."""
    asker = f"{account}.localpart || '@' || {account}.domain"
    return f"""
    ARRAY(SELECT contact FROM roster_item WHERE account_id = {account}.id AND sub_from) AS seen_by,
    ARRAY(SELECT contact FROM roster_item WHERE account_id = {account}.id AND sub_to) AS sees,
    ARRAY(SELECT jid FROM blocked WHERE account_id = {account}.id) AS blocked,
    ARRAY(SELECT i.contact FROM roster_item i WHERE i.account_id = {account}.id AND i.sub_to AND {opens("i.contact", asker)}) AS open"""  # noqa: S608
