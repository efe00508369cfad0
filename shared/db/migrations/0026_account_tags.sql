-- Tags of accounts, which operators give, and groups whose members are all accounts with a tag.
CREATE TABLE account_tag (
    account_id bigint NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    tag        text COLLATE "C" NOT NULL,
    PRIMARY KEY (account_id, tag)
);
CREATE INDEX account_tag_tag ON account_tag (tag);
ALTER TABLE roster_group ADD COLUMN tag text COLLATE "C";
CREATE INDEX roster_group_tag ON roster_group (tag) WHERE tag IS NOT NULL;

CREATE OR REPLACE VIEW group_member AS
    SELECT group_id, account_id FROM roster_group_member
    UNION ALL
    SELECT g.id, a.id FROM roster_group g JOIN account a ON a.domain = g.everybody
    UNION ALL
    SELECT g.id, t.account_id FROM roster_group g JOIN account_tag t ON t.tag = g.tag;
