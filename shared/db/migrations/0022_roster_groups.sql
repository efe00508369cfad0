-- Shared roster groups: accounts that see one another without subscriptions. A group is one row, a membership another; what follows for
-- pairs of members is computed. `everybody` names a domain all of whose accounts are members; NULL: the members stand in a list.
CREATE TABLE roster_group (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text COLLATE "C" NOT NULL UNIQUE,
    label      text NOT NULL,
    everybody  text COLLATE "C" REFERENCES domain (name) ON DELETE CASCADE ON UPDATE CASCADE,
    created    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX roster_group_everybody ON roster_group (everybody) WHERE everybody IS NOT NULL;
CREATE TABLE roster_group_member (
    group_id   bigint NOT NULL REFERENCES roster_group (id) ON DELETE CASCADE,
    account_id bigint NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    PRIMARY KEY (account_id, group_id)
);
CREATE INDEX roster_group_member_group ON roster_group_member (group_id);

-- Who is in which group.
CREATE VIEW group_member AS
    SELECT group_id, account_id FROM roster_group_member
    UNION ALL
    SELECT g.id, a.id FROM roster_group g JOIN account a ON a.domain = g.everybody;
-- Whom an account sees through which group, under which label.
CREATE VIEW shared_contact AS
    SELECT me.account_id, other.localpart || '@' || other.domain AS contact, g.label
    FROM group_member me
    JOIN roster_group g ON g.id = me.group_id
    JOIN group_member they ON they.group_id = me.group_id AND they.account_id <> me.account_id
    JOIN account other ON other.id = they.account_id;
