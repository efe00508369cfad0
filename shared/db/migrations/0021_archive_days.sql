-- The message store by time (ADR 0015). What is archived is only added to and dropped by the day; what is owed is a row of its own until a client has it;
-- what was taken lately tells repetitions. `message` stays what it is: it is written until archive_switch, and read for as long as it has rows.

-- A row is never changed, but by a moderator (XEP-0425). `day` is when it was stored, in days since 1970 by the database's clock: clocks of other machines do not decide where a
-- row goes. `mark` is the CRC-32 of the peer: it finds the messages with one peer without an index of their own.
-- Each partition has one index, (owner_id, id, mark), made with it (`shared.store.partitions`).
CREATE TABLE archive (
    owner_id    bigint NOT NULL,
    id          bigint NOT NULL,
    stamp       timestamptz NOT NULL,
    day         integer NOT NULL,
    mark        integer NOT NULL,
    outgoing    boolean NOT NULL,
    peer        text COLLATE "C" NOT NULL,
    stanza      bytea NOT NULL
) PARTITION BY RANGE (day);

-- What offline delivery has to bring, archived or not, whole: it outlives the archive's days.
CREATE TABLE owed (
    owner_id    bigint NOT NULL,
    id          bigint NOT NULL,
    stamp       timestamptz NOT NULL,
    archived    boolean NOT NULL,
    peer        text COLLATE "C" NOT NULL,
    stanza      bytea NOT NULL,
    PRIMARY KEY (owner_id, id)
) WITH (fillfactor = 90);
CREATE INDEX owed_stamp ON owed (stamp);

-- Which stanzas were stored lately. `slot` counts 6 hours since 1970, by the database's clock; `mark` is of the digest and of the direction.
CREATE TABLE taken (
    owner_id    bigint NOT NULL,
    n           bigint NOT NULL,
    mark        bigint NOT NULL,
    id          bigint NOT NULL,
    slot        integer NOT NULL,
    stream      bytea NOT NULL
) PARTITION BY RANGE (slot);

-- How many rows were added to an archive since its length was looked at last.
CREATE TABLE archive_growth (
    owner_id    bigint PRIMARY KEY,
    added       bigint NOT NULL
) WITH (fillfactor = 70);
-- Up to which day the rows of a domain that keeps less than others are deleted already.
CREATE TABLE archive_trimmed (
    domain      text COLLATE "C" PRIMARY KEY REFERENCES domain (name) ON DELETE CASCADE,
    day         integer NOT NULL
);

-- The newest migration that a process knows; 0: its version does not say.
ALTER TABLE member ADD COLUMN schema integer NOT NULL DEFAULT 0;
-- When rows began to go there; null: they still go to `message`.
ALTER TABLE installation ADD COLUMN archive_from timestamptz;

-- All that is stored, for people and tests.
CREATE VIEW stored AS
SELECT account_id AS owner_id, id, peer, outgoing, archived, owed, stamp, stanza FROM message
UNION ALL
SELECT a.owner_id, a.id, a.peer, a.outgoing, true, EXISTS (SELECT FROM owed o WHERE o.owner_id = a.owner_id AND o.id = a.id), a.stamp, a.stanza
FROM archive a
UNION ALL
SELECT o.owner_id, o.id, o.peer, false, false, true, o.stamp, o.stanza
FROM owed o WHERE NOT EXISTS (SELECT FROM archive a WHERE a.owner_id = o.owner_id AND a.id = o.id);
