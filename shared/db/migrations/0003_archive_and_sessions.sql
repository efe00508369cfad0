-- Archiving preferences (XEP-0441); an account without a row has the server's default.
CREATE TABLE archive_preference (
    account_id  bigint PRIMARY KEY REFERENCES account (id) ON DELETE CASCADE,
    fallback    text COLLATE "C" NOT NULL CHECK (fallback IN ('always', 'never', 'roster')),
    always      text[] COLLATE "C" NOT NULL DEFAULT '{}',
    never       text[] COLLATE "C" NOT NULL DEFAULT '{}'
);

-- Sessions whose socket is gone and whose client may still resume (XEP-0198): the second copy of what their router keeps.
-- `state` is packed by the router. The higher grant of a resource wins.
CREATE TABLE session (
    account_id  bigint NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    partition   integer NOT NULL,
    jid         text COLLATE "C" NOT NULL,
    granted     bigint NOT NULL,
    stream      bytea NOT NULL,
    state       bytea NOT NULL,
    expires     timestamptz NOT NULL,
    PRIMARY KEY (jid, granted)
);
CREATE INDEX session_partition ON session (partition);
CREATE INDEX session_account ON session (account_id);

-- What the last router that gave a partition away had taken lately: its successor must know what is sent again.
CREATE TABLE handover (
    partition   integer PRIMARY KEY,
    state       bytea NOT NULL,
    given       timestamptz NOT NULL
);

-- A foreign key would look up and lock the account for every row of the message store. Removal deletes what is there; what comes in its last
-- moments, from a router that has not heard of it yet, is deleted by the sweep: these are the accounts that it has to look for.
ALTER TABLE message DROP CONSTRAINT message_account_id_fkey;
CREATE TABLE erased (
    account_id  bigint PRIMARY KEY,
    at          timestamptz NOT NULL DEFAULT now()
);
