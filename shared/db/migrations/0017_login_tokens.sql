-- Clients that come back with a token (XEP-0484), by the id that they say (XEP-0388 section 2.3), and their tokens. A token is at rest
-- only as what checks a proof of it: hashes, or, for one that is bound to a channel, sealed with a key that all workers share.
CREATE TABLE user_agent (
    account_id  bigint NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    agent       text COLLATE "C" NOT NULL,
    software    text NOT NULL DEFAULT '',
    device      text NOT NULL DEFAULT '',
    created     timestamptz NOT NULL DEFAULT now(),
    last_seen   timestamptz NOT NULL DEFAULT now(),   -- to a day or so: when its token was last made anew
    PRIMARY KEY (account_id, agent)
);
CREATE TABLE login_token (
    account_id  bigint NOT NULL,
    agent       text COLLATE "C" NOT NULL,
    serial      integer NOT NULL,                     -- the highest is the newest; using one ends those before it
    mechanism   text COLLATE "C" NOT NULL,            -- HT-SHA-256-NONE: good for no other
    verifier    bytea NOT NULL,
    salt        bytea NOT NULL,                       -- of the password's keys: another password has other salts
    used        boolean NOT NULL DEFAULT false,
    count       bigint NOT NULL DEFAULT 0,            -- the highest that a client has said: a replay has one that is not higher
    created     timestamptz NOT NULL DEFAULT now(),
    expires     timestamptz NOT NULL,
    PRIMARY KEY (account_id, agent, serial),
    FOREIGN KEY (account_id, agent) REFERENCES user_agent ON DELETE CASCADE
);
CREATE INDEX login_token_expires ON login_token (expires);
