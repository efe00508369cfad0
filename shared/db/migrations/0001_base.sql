-- The first day's schema. Stock SQL of Postgres 15: no extensions, no ICU, COLLATE "C" where text is a key.
-- The rule for later files: expand, then contract; two adjacent versions run side by side.

-- One row: numbers that are fixed at installation.
CREATE TABLE installation (
    singleton   boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    partitions  integer NOT NULL DEFAULT 256,
    created     timestamptz NOT NULL DEFAULT now()
);
INSERT INTO installation DEFAULT VALUES;

-- Secrets that every process of the cluster shares and that rotate: the newest of a purpose makes, all verify.
CREATE TABLE secret (
    purpose     text COLLATE "C" NOT NULL,
    created     timestamptz NOT NULL DEFAULT now(),
    value       bytea NOT NULL,
    PRIMARY KEY (purpose, created)
);

-- Processes that may hold partitions. The heartbeat row and the fence row are apart: beating never waits for a writer.
CREATE TABLE member (
    incarnation text COLLATE "C" PRIMARY KEY,
    kinds       text[] NOT NULL,
    version     integer NOT NULL,
    started     timestamptz NOT NULL DEFAULT now(),
    expires     timestamptz NOT NULL,
    draining    boolean NOT NULL DEFAULT false
);
CREATE TABLE fence (
    incarnation text COLLATE "C" PRIMARY KEY,
    open        boolean NOT NULL DEFAULT true
);
CREATE TABLE lease (
    kind        text COLLATE "C" NOT NULL,
    partition   integer NOT NULL,
    incarnation text COLLATE "C",
    epoch       bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (kind, partition)
);

CREATE TABLE domain (
    name         text COLLATE "C" PRIMARY KEY,
    registration boolean NOT NULL DEFAULT false,
    policy       jsonb NOT NULL DEFAULT '{}',
    created      timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE account (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    localpart   text COLLATE "C" NOT NULL,
    domain      text COLLATE "C" NOT NULL REFERENCES domain (name),
    email       text NOT NULL DEFAULT '',
    disabled    boolean NOT NULL DEFAULT false,
    created     timestamptz NOT NULL DEFAULT now(),
    roster_ver  bigint NOT NULL DEFAULT 0,
    roster_floor bigint NOT NULL DEFAULT 0,           -- removals up to this version are no longer remembered
    last_seen   timestamptz,
    last_status text NOT NULL DEFAULT '',
    UNIQUE (domain, localpart)
);

-- SCRAM keys (RFC 5802), never passwords.
CREATE TABLE credential (
    account_id  bigint NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    mechanism   text COLLATE "C" NOT NULL,          -- SCRAM-SHA-1, SCRAM-SHA-256
    iterations  integer NOT NULL,
    salt        bytea NOT NULL,
    stored_key  bytea NOT NULL,
    server_key  bytea NOT NULL,
    PRIMARY KEY (account_id, mechanism)
);

-- A roster item, or the memory of one: `listed` is false for pending-in without an item and for what was removed,
-- so that roster versioning (RFC 6121 section 2.6) can tell.
CREATE TABLE roster_item (
    account_id  bigint NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    contact     text COLLATE "C" NOT NULL,
    name        text NOT NULL DEFAULT '',
    groups      text[] NOT NULL DEFAULT '{}',
    sub_to      boolean NOT NULL DEFAULT false,
    sub_from    boolean NOT NULL DEFAULT false,
    pending_out boolean NOT NULL DEFAULT false,
    pending_in  bytea,                               -- the packed subscribe stanza, kept until answered
    approved    boolean NOT NULL DEFAULT false,      -- pre-approval (RFC 6121 section 3.4)
    listed      boolean NOT NULL DEFAULT true,
    ver         bigint NOT NULL DEFAULT 0,
    last_uid    bytea,                               -- the last stanza that changed it, and the state that it met:
    last_state  smallint,                            -- a repetition has the same effects once more
    PRIMARY KEY (account_id, contact)
);
CREATE INDEX roster_item_contact ON roster_item (contact);

CREATE TABLE private_xml (                           -- XEP-0049
    account_id  bigint NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    namespace   text COLLATE "C" NOT NULL,
    name        text COLLATE "C" NOT NULL,
    xml         bytea NOT NULL,
    PRIMARY KEY (account_id, namespace, name)
);
CREATE TABLE vcard (                                 -- XEP-0054
    account_id  bigint PRIMARY KEY REFERENCES account (id) ON DELETE CASCADE,
    xml         bytea NOT NULL
);
CREATE TABLE blocked (                               -- XEP-0191
    account_id  bigint NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    jid         text COLLATE "C" NOT NULL,
    PRIMARY KEY (account_id, jid)
);

-- The message store: archive and offline storage in one. `id` is epoch << 40 | counter of the account's router partition:
-- monotonic per account and independent of clocks. (stream, n) is the uid of the accepted stanza; the digest tells a
-- repetition from a new stanza that reuses the number. `owed` rows are what offline delivery still owes; a row that must
-- not be archived (`archived` false) goes when it is no longer owed.
CREATE TABLE message (
    account_id  bigint NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    id          bigint NOT NULL,
    stream      bytea NOT NULL,
    n           bigint NOT NULL,
    digest      bytea NOT NULL,
    peer        text COLLATE "C" NOT NULL,
    outgoing    boolean NOT NULL,
    archived    boolean NOT NULL,
    owed        boolean NOT NULL,
    stamp       timestamptz NOT NULL,
    stanza      bytea NOT NULL,                      -- packed, as it is delivered, without the delay stamp
    PRIMARY KEY (account_id, id),
    UNIQUE (account_id, stream, n, digest, outgoing)
) PARTITION BY HASH (account_id);
CREATE INDEX message_owed ON message (account_id, id) WHERE owed;
CREATE INDEX message_peer ON message (account_id, peer, id);
-- Retention finds old rows by it; it costs an insert nothing, and time order is the order of insertion.
CREATE INDEX message_stamp ON message USING brin (stamp) WITH (pages_per_range = 32, autosummarize = on);

DO $$
BEGIN
    FOR i IN 0..15 LOOP
        EXECUTE format('CREATE TABLE message_%s PARTITION OF message FOR VALUES WITH (MODULUS 16, REMAINDER %s)', i, i);
    END LOOP;
END
$$;

CREATE TABLE registration_attempt (                  -- XEP-0077 throttle: 3 accounts an hour from one network
    network     inet NOT NULL,
    at          timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX registration_attempt_network ON registration_attempt (network, at);
