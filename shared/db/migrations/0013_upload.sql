-- Files that clients put over HTTP (XEP-0363). A row is written before its file gets its name, so the sweep knows every file. When the account is
-- removed its rows stay without an owner: nobody gets such a file any more, and the sweep removes it.
CREATE TABLE upload (
    id          text COLLATE "C" PRIMARY KEY,        -- random; the secret part of the URL, and the name in the folder
    account_id  bigint REFERENCES account (id) ON DELETE SET NULL,
    name        text NOT NULL,
    media_type  text COLLATE "C" NOT NULL,
    size        bigint NOT NULL,
    created     timestamptz NOT NULL DEFAULT now(),
    expires     timestamptz                          -- NULL: as long as the account
);
CREATE INDEX upload_account ON upload (account_id);
CREATE INDEX upload_expires ON upload (expires) WHERE expires IS NOT NULL;
CREATE INDEX upload_ownerless ON upload (id) WHERE account_id IS NULL;

-- What slots were given out for, by UTC day.
CREATE TABLE upload_day (
    account_id  bigint NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    day         date NOT NULL,
    files       integer NOT NULL,
    bytes       bigint NOT NULL,
    PRIMARY KEY (account_id, day)
);
CREATE INDEX upload_day_day ON upload_day (day);

-- Every domain of accounts has a service for files; `rookery domain del` takes it away.
INSERT INTO domain (name, kind) SELECT 'upload.' || name, 'upload' FROM domain WHERE kind = 'accounts'
ON CONFLICT (name) DO NOTHING;
