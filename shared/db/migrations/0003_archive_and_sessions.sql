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
