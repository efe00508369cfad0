-- Lists of senders that other servers publish (`s2s.block_lists`): SHA-256 of bare JIDs and of domains. `version` grows with each change, so that whoever
-- keeps the entries in memory sees when to read them again.
CREATE TABLE sender_list (
    name     text COLLATE "C" PRIMARY KEY,           -- SERVICE/NODE
    version  bigint NOT NULL DEFAULT 0,
    fetched  timestamptz                             -- when it was last read as a whole
);
CREATE TABLE sender_list_entry (
    list     text COLLATE "C" NOT NULL REFERENCES sender_list (name) ON DELETE CASCADE,
    hash     bytea NOT NULL,
    PRIMARY KEY (list, hash)
);
